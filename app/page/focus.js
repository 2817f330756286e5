/** One picture, large: its seed, class, truncation, and the directions along which it changes. */

import { ClassField, seedInput } from "./controls.js"
import { DirectionSliders } from "./direction_sliders.js"
import { announce, attempt, button, div, field, h, range, title, toast } from "./dom.js"
import { ExportPanel } from "./export_panel.js"
import { changed, describe, keyOf, plainPicture, shortNumber, titleOf } from "./picture.js"
import { PictureCanvas } from "./picture_canvas.js"
import { randomSeed, seedAfter, seedProblem } from "./seeds.js"
import { Tiles } from "./tiles.js"

const MOST_SEEN = 12

export class Focus {
  /** @type {Keys} */
  keys = {
    ArrowLeft: ["The seed before", ({ repeat }) => this.#step(-1, repeat)],
    ArrowRight: ["The seed after", ({ repeat }) => this.#step(1, repeat)],
    r: ["A random seed", () => this.#random()],
    d: ["Download", () => this.exports.download()],
    c: ["Copy the link", () => this.exports.copy("link")],
    "/": ["Type a seed", () => this.seed.focus()],
  }

  /** @param {Explorer} app */
  constructor(app) {
    this.app = app
    this.exports = new ExportPanel(app)
    this.seen = new Tiles("Seen lately", (picture) => app.open(picture))
    this.picture = new PictureCanvas(app.api, { class: "large" })
    this.title = title("")
    this.detail = h("p", { class: "detail" })
    this.trouble = h("p", { class: "problem", role: "alert", hidden: true })
    const tool = (label, drawing, keys, act) => button(label, drawing, act, { keys })
    this.favourite = tool("Favourite", "saved", "F", () => app.toggleFavourite(this.draft))
    this.pin = tool("Pin", "pin", "P", () => app.togglePin(this.draft))
    this.smooth = tool("Smooth", "smooth", "X", () => app.toggleSmooth())
    const bare = { shown: false }
    this.before = button("The seed before", "left", () => this.#step(-1), { ...bare, keys: "←" })
    this.after = button("The seed after", "right", () => this.#step(1), { ...bare, keys: "→" })
    this.seed = seedInput({ inputMode: "text" })
    this.classes = new ClassField([["", "Its own"]], (name) => this.#commit({ class: name }))
    this.truncation = range(0, 1, 0.01, {
      oninput: () => this.#move({ truncation: Number(this.truncation.value) }),
      onchange: () => this.#commit({ truncation: Number(this.truncation.value) }),
    })
    this.truncationText = h("output")
    const edited = (steps) => ({ edit: { ...this.draft.edit, ...steps } })
    this.directions = new DirectionSliders(
      app,
      (steps) => this.#move(edited(steps)),
      (steps) => this.#commit(edited(steps)),
    )
    const small = { class: "button small" }
    this.reset = button("Undo all edits", null, () => this.#commit({ edit: {} }), small)
    this.directionsTitle = h("h2", {}, "Directions")
    const seen = div("lately", h("h2", {}, "Seen lately"), this.seen.root)
    this.root = div("focus-view split", this.#stage(), this.#panel(), seen)
  }

  #stage() {
    const random = button("Random", "dice", () => this.#random(), { keys: "R" })
    return div(
      "stage",
      div("frame", this.picture.root, this.trouble),
      div(
        "row between",
        div("row", this.before, random, this.after),
        div("row", this.smooth, this.favourite, this.pin),
      ),
    )
  }

  #panel() {
    const form = h(
      "form",
      { class: "row", onsubmit: (event) => this.#ask(event) },
      field("Seed", this.seed),
      h("button", { class: "button" }, "Show"),
    )
    return div(
      "panel",
      div("heading", this.title, this.detail),
      div("row", form, this.classes.root),
      field("Truncation", this.truncation, this.truncationText),
      div("row between", this.directionsTitle, this.reset),
      this.directions.root,
      this.exports.root,
    )
  }

  /** @param {State} state */
  show({ picture }) {
    if (!picture) return
    const { app } = this
    /** @type {Picture} as it is while a slider is dragged */
    this.draft = picture
    if (app.card !== this.card) this.#newModel(app.card)
    this.title.textContent = titleOf(picture)
    const isSeed = picture.seed !== undefined
    this.seed.value = picture.text ?? picture.seed ?? ""
    this.before.disabled = !isSeed || picture.seed === "0"
    this.after.disabled = !isSeed
    this.#fill(picture)
    this.#draw(picture)
    this.directions.drawEnds(picture)
    this.#tellClass(picture)
    this.exports.show(picture)
    app.seen.add(picture)
    this.#showSeen()
    this.marks()
  }

  current() {
    return this.draft
  }

  marks() {
    const { app, draft } = this
    const smooth = document.documentElement.classList.contains("smooth")
    this.favourite.setAttribute("aria-pressed", String(app.favourites.has(draft)))
    this.smooth.setAttribute("aria-pressed", String(smooth))
    this.pin.setAttribute("aria-pressed", String(app.isPinned(draft)))
  }

  #newModel(card) {
    this.card = card
    this.directionsTitle.hidden = this.reset.hidden = this.directions.offer() === 0
    this.classes.offer(card.classes)
  }

  /** Draws while a slider is dragged. */
  #move(words) {
    this.draft = changed(this.draft, words)
    this.#fill(this.draft)
    this.#draw(this.draft)
  }

  #commit(words) {
    const picture = changed(this.draft, words)
    const { state } = this.app
    if (state.picture && keyOf(picture) === keyOf(state.picture)) return this.show(state)
    this.app.commit({ picture })
  }

  /** @param {Picture} picture */
  #fill({ truncation, edit, class: class_ = "", z }) {
    this.truncation.valueAsNumber = truncation
    this.truncationText.textContent = shortNumber(truncation)
    this.classes.select.value = class_
    this.classes.select.options[0].disabled = z !== undefined // it has none by itself
    this.directions.fill(edit)
    this.reset.disabled = Object.keys(edit).length === 0
  }

  #draw(picture) {
    this.picture.show(
      picture,
      () => (this.trouble.hidden = true),
      (error) => {
        this.trouble.textContent = error.message
        this.trouble.hidden = false
      },
    )
  }

  #showSeen() {
    const { api, seen } = this.app
    const here = seen.pictures.filter(({ model }) => model === this.card.id)
    this.seen.showEach(here.slice(0, MOST_SEEN), api)
    this.seen.mark((picture) => keyOf(picture) === keyOf(this.draft))
  }

  async #tellClass(picture) {
    const parts = [picture.text ? `seed ${picture.seed}` : "", this.card.name]
    if (picture.seed && this.card.classes.length) {
      parts.push(picture.class ?? (await this.app.ownClass(picture)))
    }
    if (picture !== this.app.state.picture) return
    this.detail.textContent = parts.filter(Boolean).join(" · ")
  }

  /** Goes to a seed nearby; while a key is held, all the way is one step back. */
  #step(steps, replace = false) {
    const { seed } = this.draft
    if (seed === undefined) return
    const next = seedAfter(seed, steps)
    if (next !== seed) this.#go(next, replace)
  }

  #random() {
    this.#go(randomSeed())
  }

  #go(seed, replace = false) {
    const { model, truncation, edit, class: class_ } = this.draft
    const picture = { ...plainPicture(model, seed, class_), truncation, edit }
    this.app.commit({ picture }, { replace })
    announce(describe(picture))
  }

  async #ask(event) {
    event.preventDefault()
    const text = this.seed.value.trim()
    const problem = seedProblem(text)
    if (problem) return toast(problem)
    const { truncation, edit, class: class_ } = this.draft
    await attempt(async () => {
      const picture = await this.app.pictureOf(text, class_)
      this.app.commit({ picture: { ...picture, truncation, edit } })
    })
  }
}
