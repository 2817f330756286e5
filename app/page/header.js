/** The head of the page: the places and their views, tools, and the generator that is shown. */

import { button, byId, choice, h, icon } from "./dom.js"
import { NAVIGATION, PLACES, titleOfView, VIEWS } from "./views.js"

const FINE = 48 // pixels a side, from which small pictures are hardly enlarged

export class Header {
  /** @type {Record<string, string>} the view of each place that was shown last */
  #last = {}

  /** @param {Explorer} app */
  constructor(app) {
    this.app = app
    this.pins = h("span", { class: "count", hidden: true })
    this.places = Object.entries(PLACES).map(([name, { title, icon: drawing, views }]) => {
      const words = { "data-place": name }
      const parts = [icon(drawing), h("span", {}, title)]
      return this.#link(() => this.#last[name] ?? views[0], words, ...parts)
    })
    byId("views").replaceChildren(...this.places)
    this.links = NAVIGATION.map((name) =>
      this.#link(
        () => name,
        { "data-view": name },
        h("span", {}, VIEWS[name].title),
        name === "path" && this.pins,
      ),
    )
    const tool = (label, drawing, keys, act) => button(label, drawing, act, { shown: false, keys })
    this.tools = byId("tools")
    this.tools.append(
      tool("Undo", "undo", "Z", () => app.store.undo()),
      tool("Redo", "redo", "Shift + Z", () => app.store.redo()),
      tool("Help", "help", "?", () => app.shortcuts?.list()),
    )
  }

  /** Offers the generators, where there is a choice. */
  offer({ list, first }) {
    this.models?.remove()
    this.models = null
    if (list.length < 2) return
    const { app } = this
    this.models = choice(
      list.map(({ id, name }) => [id, name]),
      first,
      (model) => app.commit({ model, view: app.state.view === "models" ? "grid" : app.state.view }),
    )
    this.models.setAttribute("aria-label", "Model")
    this.tools.prepend(this.models)
  }

  /** Says which view is shown, of what. @param {State} state */
  show({ view, path }) {
    const { card, pixels } = this.app
    if (view !== "focus") this.entitle(titleOfView(view))
    document.body.dataset.view = view
    document.body.classList.toggle("fine", card.width >= FINE)
    document.body.classList.toggle("smooth", pixels !== "square")
    const { place } = VIEWS[view]
    if (view !== "focus") this.#last[place] = view
    const others = this.links.filter(({ dataset }) => VIEWS[dataset.view ?? ""].place === place)
    const order = PLACES[place].views
    others.sort((a, b) => order.indexOf(a.dataset.view ?? "") - order.indexOf(b.dataset.view ?? ""))
    const within = byId("within")
    within.setAttribute("aria-label", PLACES[place].title)
    within.replaceChildren(...(others.length > 1 ? others : [])) // its place stays
    mark(this.places, (link) => link.dataset.place === place)
    mark(this.links, (link) => link.dataset.view === view)
    if (this.models) this.models.value = card.id
    this.pins.textContent = String(path.pins.length || "")
    this.pins.hidden = path.pins.length === 0
  }

  /** Names the window after what is shown. @param {string} name */
  entitle(name) {
    document.title = `${name} · ganserve`
  }

  #link(view, words, ...children) {
    const onclick = (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return
      event.preventDefault()
      this.app.go(view())
    }
    return h("a", { href: `./?view=${view()}`, onclick, ...words }, ...children)
  }
}

function mark(links, holds) {
  for (const link of links) {
    if (holds(link)) link.setAttribute("aria-current", "page")
    else link.removeAttribute("aria-current")
  }
}
