/** Arithmetic with pictures: so much of a, of b and of c, and what comes of it. */

import { ClassField, seedInput } from "./controls.js"
import { attempt, button, div, field, h, range, sign, title, toast } from "./dom.js"
import { ExportPanel } from "./export_panel.js"
import { originOf } from "./html.js"
import { LatestOnly } from "./latest_only.js"
import { changed, describe, plainPicture, shortNumber } from "./picture.js"
import { PictureCanvas } from "./picture_canvas.js"
import { randomSeed, seedAfter, seedProblem } from "./seeds.js"
import { ofPicture } from "./snippets.js"
import { addressOf } from "./state.js"
import { drawEach, Tiles } from "./tiles.js"

const NAMES = ["a", "b", "c"]
const CHILD = [0.5, 0.5, 0] // half of one, half of another
const REACH = 2
const OFFERED = 48

export class Mix {
  /** @type {Keys} */
  keys = {
    r: ["Others to choose from", () => this.#offer()],
    d: ["Download", () => this.exports.download()],
    Enter: ["Open the result", () => this.#open()],
    "/": ["Type a name", () => this.input.focus()],
  }

  /** @param {Explorer} app */
  constructor(app) {
    this.app = app
    this.offers = new LatestOnly()
    this.active = 0
    this.exports = new ExportPanel(app)
    this.offered = new Tiles("Pictures to choose from", ({ seed }) => this.#put(seed))
    this.slots = NAMES.map((name, place) => this.#slot(name, place))
    this.result = new PictureCanvas(app, { class: "large" })
    const words = { type: "button", class: "slot result", title: "Open the result (Enter)" }
    const name = h("span", { class: "name" }, "result")
    const result = h("button", { ...words, onclick: () => this.#open() }, this.result.root, name)
    this.hint = h("p", { role: "status" })
    this.input = seedInput({ enterKeyHint: "go" })
    this.classes = new ClassField([["", "Automatic"]], (name) => app.change("mix", { class: name }))
    const form = h(
      "form",
      { class: "row", onsubmit: (event) => this.#ask(event) },
      field("Name or number", this.input),
      h("button", { class: "button" }, "Put it in"),
    )
    this.exports.primary.append(button("Pin", "pin", () => this.#pin(), { keys: "P" }))
    const sum = div(
      "sum",
      this.slots.map(({ root }, place) => [place > 0 && sign("+"), root]),
      div("outcome", sign("="), result),
    )
    this.root = div(
      "mix-view stacked",
      div("heading", title("Mix"), this.hint),
      div("top", sum, div("panel", form, this.classes.root, this.exports.primary)),
      div(
        "row between",
        h("h2", {}, "Choose from"),
        button("Others", "dice", () => this.#offer(), { keys: "R" }),
      ),
      this.offered.root,
      h("details", { class: "sharing" }, h("summary", {}, "Share the result"), this.exports.root),
    )
  }

  show({ mix }) {
    const { card } = this.app
    if (mix.seeds.length !== 3) return this.#begin(card)
    if (card !== this.card) this.#newModel(card)
    this.classes.select.value = mix.class
    const offering = `${card.id} ${mix.class}` // as the one that is chosen will look
    if (offering !== this.offering) this.#offer()
    this.offering = offering
    for (const [place, seed] of mix.seeds.entries()) {
      const { drawn, press, weight, text } = this.slots[place]
      drawn.show(plainPicture(card.id, seed, mix.class), () => {
        const shown = drawn.picture && describe(drawn.picture)
        press.setAttribute("aria-label", `${NAMES[place]}: ${shown}. Choose another`)
      })
      weight.valueAsNumber = mix.weights[place]
      text.textContent = shortNumber(mix.weights[place])
    }
    this.#activate(this.active)
    this.repaint()
  }

  /** Begins with pictures that are pinned, or two of one class: their child is easy to see. */
  #begin(card) {
    const { app } = this
    const pinned = app.state.path.pins.flatMap(({ seed }) => seed ?? [])
    const seeds = NAMES.map((_, place) => pinned[place] ?? randomSeed())
    const class_ = app.state.mix.class || (card.classes[0] ?? "")
    return app.change("mix", { seeds, weights: CHILD, class: class_ }, { replace: true })
  }

  #newModel(card) {
    this.card = card
    this.classes.offer(card.classes)
    this.exports.show(null)
    this.offered.clear()
  }

  repaint() {
    this.result.show(this.#wanted(), () => {
      const picture = this.current()
      if (!picture) return
      const { card, state } = this.app
      const page = originOf(location) + addressOf({ ...state, view: "mix" })
      this.exports.show({ ...ofPicture(picture, card.width, page), name: `${card.name}-mix` })
    })
  }

  /** Returns the result that is seen. */
  current() {
    return this.result.picture
  }

  #wanted() {
    const { seeds, weights, class: class_ } = this.app.state.mix
    const parts = seeds.map((seed, place) => [seed, weights[place]])
    const mix = parts.filter(([, weight]) => weight !== 0)
    return changed({ model: this.card.id, mix, truncation: 1, edit: {} }, { class: class_ })
  }

  #pin() {
    const picture = this.current()
    if (picture) this.app.togglePin(picture)
  }

  #slot(name, place) {
    const drawn = new PictureCanvas(this.app)
    const words = { type: "button", class: "slot", onclick: () => this.#activate(place) }
    const press = h("button", words, drawn.root, h("span", { class: "name" }, name))
    const weight = range(-REACH, REACH, 0.1, {
      "aria-label": `How much of ${name}`,
      oninput: () => (text.textContent = shortNumber(weight.valueAsNumber)),
      onchange: () => this.#weigh(place, weight.valueAsNumber),
    })
    const text = h("output")
    return { drawn, press, weight, text, root: div("part", press, div("row weight", weight, text)) }
  }

  #weigh(place, value) {
    const { weights } = this.app.state.mix
    const others = weights.map((weight, other) => (other === place ? value : weight))
    if (others.some(Boolean)) return this.app.change("mix", { weights: others })
    toast("One of them has to weigh something.")
    return this.show(this.app.state)
  }

  #activate(place) {
    this.active = place
    for (const [other, { press }] of this.slots.entries()) {
      press.setAttribute("aria-pressed", String(other === place))
    }
    const sum = "So much of each, added up; below zero takes away."
    this.hint.textContent = `${sum} Choose a picture below, or type a name, in place of ${NAMES[place]}.`
    this.offered.mark(({ seed }) => seed === this.app.state.mix.seeds[place])
  }

  #put(seed) {
    const { mix } = this.app.state
    const seeds = mix.seeds.map((one, place) => (place === this.active ? seed : one))
    this.active = (this.active + 1) % NAMES.length
    this.app.change("mix", { seeds })
  }

  async #ask(event) {
    event.preventDefault()
    const text = this.input.value.trim()
    const problem = seedProblem(text)
    if (problem) return toast(problem)
    await attempt(async () => {
      const { seed } = await this.app.pictureOf(text)
      this.input.value = ""
      this.#put(seed)
    })
  }

  /** Offers what is pinned, favourites, and others. */
  async #offer() {
    const { app } = this
    const { card, state } = app
    const seed = randomSeed(OFFERED)
    const others = Array.from({ length: OFFERED }, (_, step) => seedAfter(seed, step))
    const own = [...state.path.pins, ...app.favourites.pictures]
      .filter((one) => one.model === card.id)
      .flatMap(({ seed }) => seed ?? [])
    const seeds = [...new Set([...own, ...others])].slice(
      0,
      Math.min(OFFERED, card.ranges.pictures),
    )
    const class_ = state.mix.class
    const pictures = seeds.map((seed) => plainPicture(card.id, seed, class_))
    await drawEach(this.offered, pictures, app.api)
    this.#activate(this.active)
  }

  #open() {
    this.app.open(this.#wanted())
  }
}
