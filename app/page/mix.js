/** Arithmetic with pictures: a − b + c, and what comes of it. */

import { button, h, paint, show, toast } from "./dom.js"
import { Latest } from "./latest.js"
import { changed, describe, drawing, plainPicture, urlOf } from "./picture.js"
import { randomSeed, seedAfter } from "./seeds.js"
import { fittingSheet, Tiles } from "./tiles.js"

const NAMES = ["a", "b", "c"]
const WEIGHTS = [1, -1, 1]
const SIGNS = ["", "−", "+"]
const OFFERED = 48

export class Mix {
  keys = {
    r: ["Others to choose from", () => this.#offer()],
    Enter: ["Open the result", () => this.#open()],
  }

  constructor(app) {
    this.app = app
    this.latest = new Latest()
    this.offers = new Latest()
    this.active = 0
    this.offered = new Tiles("Pictures to choose from", ({ seed }) => this.#put(seed))
    this.slots = NAMES.map((name, place) => {
      const canvas = h("canvas", { width: 1, height: 1 })
      const root = h(
        "button",
        { type: "button", class: "slot", onclick: () => this.#activate(place) },
        canvas,
        h("span", { class: "name" }, name),
      )
      return { root, canvas, latest: new Latest() }
    })
    this.canvas = h("canvas", { class: "large", role: "img", width: 1, height: 1 })
    this.result = h(
      "button",
      {
        type: "button",
        class: "slot result",
        title: "Open the result (Enter)",
        onclick: () => this.#open(),
      },
      this.canvas,
      h("span", { class: "name" }, "result"),
    )
    this.hint = h("p", { role: "status" })
    this.root = h(
      "section",
      { class: "mix-view" },
      h(
        "div",
        { class: "heading" },
        h("h1", { tabIndex: -1, "data-start": true }, "Arithmetic"),
        this.hint,
      ),
      h(
        "div",
        { class: "sum" },
        this.slots.map(({ root }, place) => [
          h("span", { class: "sign", "aria-hidden": "true" }, SIGNS[place]),
          root,
        ]),
        h(
          "div",
          { class: "outcome" },
          h("span", { class: "sign", "aria-hidden": "true" }, "="),
          this.result,
        ),
      ),
      h(
        "div",
        { class: "row between" },
        h("h2", {}, "Choose from"),
        h(
          "div",
          { class: "row" },
          button("Others", "dice", () => this.#offer(), { keys: "R" }),
          button("Pin the result", "pin", () => app.togglePin(this.current()), { keys: "P" }),
        ),
      ),
      this.offered.root,
    )
  }

  show({ mix }) {
    if (mix.seeds.length !== 3) {
      const seeds = NAMES.map(() => randomSeed())
      return this.app.commit({ mix: { ...mix, seeds } }, { replace: true })
    }
    const { card, api } = this.app
    if (card !== this.card) {
      this.card = card
      this.offered.clear()
      this.#offer()
    }
    for (const [place, seed] of mix.seeds.entries()) {
      const { canvas, root, latest } = this.slots[place]
      const picture = plainPicture(card.id, seed, mix.class)
      root.setAttribute("aria-label", `${NAMES[place]}: ${describe(picture)}. Choose another`)
      latest.ask(
        () => api.image(drawing(picture)),
        (image) => paint(canvas, image),
      )
    }
    this.#activate(this.active)
    const picture = this.current()
    this.latest.ask(
      () => api.image(drawing(picture)),
      (image) => show(this.canvas, image, mix.seeds.join(","), describe(picture)),
      (error) => toast(error.message),
    )
  }

  /** The result. */
  current() {
    const { seeds, class: class_ } = this.app.state.mix
    const mix = seeds.map((seed, place) => [seed, WEIGHTS[place]])
    return changed({ model: this.card.id, mix, truncation: 1, edit: {} }, { class: class_ })
  }

  #activate(place) {
    this.active = place
    for (const [other, { root }] of this.slots.entries()) {
      root.setAttribute("aria-pressed", String(other === place))
    }
    const sum = "Like a, less what it has of b, more of c."
    this.hint.textContent = `${sum} Choose a picture below: it becomes ${NAMES[place]}.`
    this.offered.mark(({ seed }) => seed === this.app.state.mix.seeds[place])
  }

  #put(seed) {
    const { mix } = this.app.state
    const seeds = mix.seeds.map((one, place) => (place === this.active ? seed : one))
    this.active = (this.active + 1) % NAMES.length
    this.app.commit({ mix: { ...mix, seeds } })
  }

  #offer() {
    const { card, api, state } = this.app
    const first = randomSeed(OFFERED)
    const class_ = state.mix.class
    const columnsOf = (n) => Math.min(8, n)
    const sheetOf = (n) => {
      const words = { model: card.id, seed: first, n, columns: columnsOf(n), class: class_ }
      return { url: urlOf("/generate.png", words) }
    }
    this.offers.forget()
    this.offers.ask(
      () => fittingSheet(api, Math.min(OFFERED, card.ranges.pictures), sheetOf),
      ({ n, sheet }) => {
        const pictures = Array.from({ length: n }, (_, place) =>
          plainPicture(card.id, seedAfter(first, place), class_),
        )
        this.offered.clear()
        this.offered.add(pictures, sheet, columnsOf(n))
      },
      (error) => toast(error.message),
    )
  }

  #open() {
    this.app.open(this.current())
  }
}
