/** Arithmetic with pictures: a − b + c, and what comes of it. */

import { button, div, h, sign, title, toast } from "./dom.js"
import { LatestOnly } from "./latest_only.js"
import { changed, describe, plainPicture } from "./picture.js"
import { PictureCanvas } from "./picture_canvas.js"
import { randomSeed } from "./seeds.js"
import { drawRun, Tiles } from "./tiles.js"

const NAMES = ["a", "b", "c"]
const WEIGHTS = [1, -1, 1]
const SIGNS = ["", "−", "+"]
const OFFERED = 48

export class Mix {
  /** @type {Keys} */
  keys = {
    r: ["Others to choose from", () => this.#offer()],
    Enter: ["Open the result", () => this.#open()],
  }

  /** @param {Explorer} app */
  constructor(app) {
    this.app = app
    this.offers = new LatestOnly()
    this.active = 0
    this.offered = new Tiles("Pictures to choose from", ({ seed }) => this.#put(seed))
    this.slots = NAMES.map((name, place) =>
      this.#slot(name, {}, { class: "slot", onclick: () => this.#activate(place) }),
    )
    const words = { class: "slot result", title: "Open the result (Enter)" }
    this.result = this.#slot(
      "result",
      { class: "large" },
      { ...words, onclick: () => this.#open() },
    )
    this.hint = h("p", { role: "status" })
    this.root = div(
      "mix-view stacked",
      div("heading", title("Arithmetic"), this.hint),
      div(
        "sum",
        this.slots.map(({ root }, place) => [sign(SIGNS[place]), root]),
        div("outcome", sign("="), this.result.root),
      ),
      div(
        "row between",
        h("h2", {}, "Choose from"),
        div(
          "row",
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
      return this.app.change("mix", { seeds }, { replace: true })
    }
    const { card } = this.app
    if (card !== this.card) {
      this.card = card
      this.offered.clear()
      this.#offer()
    }
    for (const [place, seed] of mix.seeds.entries()) {
      const { drawn, root } = this.slots[place]
      const picture = plainPicture(card.id, seed, mix.class)
      root.setAttribute("aria-label", `${NAMES[place]}: ${describe(picture)}. Choose another`)
      drawn.show(picture)
    }
    this.#activate(this.active)
    this.result.drawn.show(this.current())
  }

  /** Returns the result. */
  current() {
    const { seeds, class: class_ } = this.app.state.mix
    const mix = seeds.map((seed, place) => [seed, WEIGHTS[place]])
    return changed({ model: this.card.id, mix, truncation: 1, edit: {} }, { class: class_ })
  }

  #slot(name, canvasWords, words) {
    const drawn = new PictureCanvas(this.app.api, canvasWords)
    const label = h("span", { class: "name" }, name)
    return { drawn, root: h("button", { type: "button", ...words }, drawn.root, label) }
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
    this.app.change("mix", { seeds })
  }

  #offer() {
    const { card, api, state } = this.app
    const n = Math.min(OFFERED, card.ranges.pictures)
    const run = { model: card.id, seed: randomSeed(OFFERED), n, look: { class: state.mix.class } }
    this.offers.forget()
    this.offers.ask(
      () => drawRun(api, run),
      (found) => {
        this.offered.clear()
        this.offered.add(found)
      },
      (error) => toast(error.message),
    )
  }

  #open() {
    this.app.open(this.current())
  }
}
