/**
 * One picture, large: its seed, class and variety, the directions along which it changes, and others
 * like it.
 *
 * What is wanted is `draft`; name, marks and copied texts are of the picture that is seen.
 */

import { ClassField, seedInput } from "./controls.js"
import { DirectionSliders } from "./direction_sliders.js"
import {
  announce,
  attempt,
  button,
  canvas,
  div,
  field,
  h,
  range,
  relabel,
  title,
  toast,
} from "./dom.js"
import { ExportPanel } from "./export_panel.js"
import { originOf } from "./html.js"
import { changed, describe, keyOf, plainPicture, shortNumber, titleOf } from "./picture.js"
import { PictureCanvas } from "./picture_canvas.js"
import { randomSeed, seedAfter, seedProblem } from "./seeds.js"
import { ofPicture } from "./snippets.js"
import { addressOf } from "./state.js"
import { drawEach, Tiles } from "./tiles.js"
import { variations } from "./variations.js"

const MOST_SEEN = 12
const WAITING = "Drawing…"

export class Focus {
  /** @type {Keys} */
  keys = {
    ArrowLeft: ["The seed before", ({ repeat }) => this.#step(-1, repeat)],
    ArrowRight: ["The seed after", ({ repeat }) => this.#step(1, repeat)],
    r: ["A random seed", () => this.#random()],
    d: ["Download", () => this.exports.download()],
    c: ["Copy the link", () => this.exports.copy("link")],
    v: ["Other variations", () => this.#vary()],
    "/": ["Type a seed", () => this.seed.focus()],
  }

  /** @param {Explorer} app */
  constructor(app) {
    this.app = app
    this.exports = new ExportPanel(app)
    this.seen = new Tiles("Seen lately", (picture) => app.open(picture))
    this.others = new Tiles("Variations", (picture) => app.open(picture))
    this.picture = new PictureCanvas(app, { class: "large" })
    this.title = title(WAITING)
    this.detail = h("p", { class: "detail" })
    this.reason = h("span")
    const retry = button("Try again", null, () => this.#draw(this.draft), { class: "button small" })
    this.trouble = h("p", { class: "problem row", role: "alert", hidden: true }, this.reason, retry)
    const tool = (label, drawing, keys, act) => button(label, drawing, act, { keys })
    this.favourite = tool("Favourite", "saved", "F", () => this.#with(app.toggleFavourite))
    this.pin = tool("Pin", "pin", "P", () => this.#with(app.togglePin))
    const small = { class: "button small" }
    const pixels = { ...small, keys: "X" }
    this.pixels = button("Pixels", "smooth", () => app.otherPixels(), pixels)
    const bare = { shown: false }
    this.before = button("The seed before", "left", () => this.#step(-1), { ...bare, keys: "←" })
    this.after = button("The seed after", "right", () => this.#step(1), { ...bare, keys: "→" })
    this.seed = seedInput({ inputMode: "text" })
    this.classes = new ClassField([["", "Automatic"]], (name) => this.#commit({ class: name }))
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
    this.reset = button("Undo all edits", null, () => this.#commit({ edit: {} }), small)
    this.directionsTitle = h("h2", {}, "Directions")
    const more = button("Others", "dice", () => this.#vary(), { ...small, keys: "V" })
    const like = div(
      "lately",
      div("row between", h("h2", {}, "Variations"), more),
      this.others.root,
    )
    const seen = div("lately", h("h2", {}, "Seen lately"), this.seen.root)
    this.root = div("focus-view split", div("beside", this.#stage(), like), this.#panel(), seen)
  }

  #stage() {
    const random = button("Random", "dice", () => this.#random(), { keys: "R" })
    return div(
      "stage",
      div("frame", this.picture.root, this.trouble),
      this.#uses(),
      this.exports.primary,
      div(
        "row between tools",
        div("row", this.before, random, this.after),
        div("row", this.favourite, this.pin),
      ),
    )
  }

  /** Shows the picture as it is used: small, round and square, on light and on dark. */
  #uses() {
    const boxes = ["light", "dark"].map((look) => {
      const sizes = ["s128", "s64", "s32"].map((size) => canvas({ class: size }))
      this.picture.copies.push(...sizes)
      return div(`use sizes ${look}`, sizes)
    })
    return h("div", { class: "uses", "aria-hidden": "true" }, boxes)
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
      field("Variety", this.truncation, this.truncationText),
      h("p", { class: "detail hint" }, "Less is more usual, more is bolder."),
      div("row between", this.directionsTitle, div("row", this.reset, this.pixels)),
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
    this.#fill(picture)
    this.#tellPixels()
    this.#draw(picture)
  }

  /** Shows nothing of this picture when another is opened. */
  hide() {
    this.picture.clear()
    this.title.textContent = WAITING
    this.detail.textContent = ""
    this.trouble.hidden = true
    this.seed.value = ""
    this.others.clear()
    this.varied = ""
    this.exports.show(null)
  }

  /** Says what the picture is that is seen now. */
  #seen() {
    const { app, draft } = this
    this.trouble.hidden = true
    const picture = this.current()
    if (!picture) return
    this.exports.show(ofPicture(picture, app.card.width, this.#address(picture)))
    this.marks()
    if (picture !== draft || draft !== app.state.picture) return // it is being steered
    const isSeed = picture.seed !== undefined
    this.title.textContent = titleOf(picture)
    this.seed.value = picture.text ?? picture.seed ?? ""
    this.before.disabled = !isSeed || picture.seed === "0"
    this.after.disabled = !isSeed
    app.header.entitle(describe(picture))
    announce(describe(picture))
    this.#tellClass(picture)
    this.directions.drawEnds(picture)
    this.#showVariations(picture)
    app.seen.add(picture)
    this.#showSeen()
  }

  #address(picture) {
    const { state } = this.app
    return originOf(location) + addressOf({ ...state, view: "focus", picture })
  }

  #with(act) {
    const picture = this.current()
    if (picture) act.call(this.app, picture)
  }

  current() {
    return this.picture.picture
  }

  marks() {
    const { app } = this
    const picture = this.current()
    const is = (holds) => String(picture !== null && holds)
    this.favourite.setAttribute("aria-pressed", is(picture && app.favourites.has(picture)))
    this.pin.setAttribute("aria-pressed", is(picture && app.isPinned(picture)))
  }

  repaint() {
    this.#draw(this.draft)
    this.#tellPixels()
  }

  #tellPixels() {
    const label = `Pixels: ${this.app.pixels}`
    relabel(this.pixels, label)
    this.pixels.title = `${label} (X)`
  }

  #newModel(card) {
    this.card = card
    this.directionsTitle.hidden = this.reset.hidden = this.directions.offer() === 0
    this.classes.offer(card.classes)
    this.exports.show(null)
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
      () => this.#seen(),
      (error) => {
        this.reason.textContent = `${titleOf(picture)} cannot be drawn. ${error.message}`
        this.trouble.hidden = false
      },
    )
  }

  #vary() {
    this.turn = (this.turn ?? 0) + 1
    const picture = this.current()
    if (picture) this.#showVariations(picture)
  }

  /** Shows pictures like one, unless they are shown already. @param {Picture} picture */
  #showVariations(picture) {
    const { card, directions, api } = this.app
    const name = `${keyOf(picture)} ${this.turn}`
    if (name === this.varied) return
    this.varied = name
    drawEach(this.others, variations(picture, { card, directions, turn: this.turn }), api)
  }

  #showSeen() {
    const { api, seen } = this.app
    const here = seen.pictures.filter(({ model }) => model === this.card.id)
    this.seen.showEach(here.slice(0, MOST_SEEN), api)
    this.seen.mark((one) => keyOf(one) === keyOf(this.draft))
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
