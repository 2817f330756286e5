/** The head of the page: navigation, tools, and the generator that is shown. */

import { button, byId, choice, h, icon } from "./dom.js"
import { describe } from "./picture.js"
import { NAVIGATION, VIEWS } from "./views.js"

const FINE = 48 // pixels a side, from which small pictures are hardly enlarged

export class Header {
  /** @param {Explorer} app */
  constructor(app) {
    this.app = app
    this.pins = h("span", { class: "count", hidden: true })
    this.links = NAVIGATION.map((name) => this.#link(name))
    byId("views").replaceChildren(...this.links)
    const tool = (label, drawing, keys, act) => button(label, drawing, act, { shown: false, keys })
    this.tools = byId("tools")
    this.tools.append(
      tool("Undo", "undo", "Z", () => app.store.undo()),
      tool("Redo", "redo", "Shift + Z", () => app.store.redo()),
      tool("Keys", "help", "?", () => app.shortcuts?.list()),
    )
  }

  /** Offers the generators, where there is a choice. */
  offer({ list, first }) {
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
  show({ view, picture, path }) {
    const { card } = this.app
    const name = picture && view === "focus" ? describe(picture) : VIEWS[view].title
    document.title = `${name} · ganserve`
    document.body.dataset.view = view
    document.body.classList.toggle("fine", card.width >= FINE)
    const current = view === "focus" ? "grid" : view
    for (const link of this.links) {
      if (link.dataset.view === current) link.setAttribute("aria-current", "page")
      else link.removeAttribute("aria-current")
    }
    if (this.models) this.models.value = card.id
    this.pins.textContent = String(path.pins.length || "")
    this.pins.hidden = path.pins.length === 0
  }

  #link(name) {
    const { title, icon: drawing = "" } = VIEWS[name]
    const onclick = (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return
      event.preventDefault()
      this.app.go(name)
    }
    return h(
      "a",
      { href: `./?view=${name}`, "data-view": name, onclick },
      icon(drawing),
      h("span", {}, title),
      name === "path" && this.pins,
    )
  }
}
