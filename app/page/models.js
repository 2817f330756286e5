/** What draws here: cards, figures, licences, samples, and how it was trained. */

import { button, canvas, contextOf, h, paintSoon, title, wantsStillness } from "./dom.js"
import { urlOf } from "./picture.js"

const SAMPLES = 32

export class Models {
  /** @type {Keys} */
  keys = {}

  /** @param {Explorer} app */
  constructor(app) {
    this.app = app
    this.cards = h("div", { class: "cards" })
    this.root = h(
      "section",
      { class: "models-view" },
      h(
        "div",
        { class: "heading" },
        title("Models"),
        h("p", {}, "The generators that this host serves."),
      ),
      this.cards,
    )
  }

  async show() {
    if (this.cards.childElementCount) return
    const { list } = this.app.generators
    const found = await Promise.all(list.map(({ id }) => this.app.generators.get(id)))
    this.cards.replaceChildren(...found.map(({ card }) => this.#card(card)))
  }

  #card(card) {
    const { training } = card
    const explore = button(`Explore ${card.name}`, "grid", () => this.app.useModel(card.id), {
      class: "button primary",
    })
    const json = h("a", { class: "button", href: `/models/${card.id}` }, "Card as JSON")
    return h(
      "article",
      { class: "card" },
      h("div", { class: "samples" }, this.#samples(card)),
      h(
        "div",
        { class: "panel" },
        h("div", { class: "row between" }, h("h2", {}, card.name), this.#loop(card)),
        table(factsOf(card)),
        h("h3", {}, "Training"),
        table(trainingOf(card)),
        h("h3", {}, "Licence and attribution"),
        h("p", {}, training.licence || "Its card names none."),
        this.#figures(card.metrics),
        h("p", { class: "row" }, explore, json),
      ),
    )
  }

  #samples({ id, name, ranges }) {
    const n = Math.min(SAMPLES, ranges.pictures)
    const url = urlOf("/generate.png", { model: id, seed: 0, n, columns: Math.min(8, n) })
    const drawn = canvas({ class: "sheet", role: "img", "aria-label": `Samples of ${name}` })
    paintSoon(drawn, this.app.api.image({ url }))
    return drawn
  }

  #loop({ id, name, ranges }) {
    const words = { model: id, seeds: "1,2,3", loop: true, frames: Math.min(48, ranges.frames) }
    const drawn = canvas({ class: "loop", role: "img", "aria-label": `A loop of ${name}` })
    this.app.api.image({ url: urlOf("/interpolate.png", words) }).then(
      (strip) => play(drawn, strip),
      () => drawn.remove(),
    )
    return drawn
  }

  #figures(metrics) {
    const single = Object.entries(metrics ?? {}).filter(([, value]) => typeof value === "number")
    if (single.length === 0) return null
    const facts = Object.fromEntries(
      single.map(([name, value]) => [
        name.replaceAll("_", " "),
        Number(value.toPrecision(4)).toString(),
      ]),
    )
    return h(
      "details",
      {},
      h("summary", {}, "Measured quality"),
      table(facts),
      h(
        "p",
        { class: "detail" },
        "Each name holds its protocol: the figure, how many pictures, against what.",
      ),
    )
  }
}

function factsOf(card) {
  return {
    Pictures: `${card.width} × ${card.height}, ${card.channels === 1 ? "grey" : "colour"}`,
    Classes: card.classes.join(", "),
    Network: `${card.family}, z of ${card.z_dim} values, ${card.prior} prior`,
    Precision: card.precision,
    Hash: h("code", {}, card.id.split("@")[1]),
  }
}

function trainingOf({ training, preset, weights_sha256 }) {
  return {
    "Learnt from": `${training.data}, ${training.split}: ${grouped(training.images)} pictures`,
    "Pictures seen": grouped(training.images_seen),
    Again: preset ? h("code", {}, `make train PRESET=${preset}`) : "",
    "SHA-256 of the data": h("code", {}, training.sha256),
    "SHA-256 of the weights": h("code", {}, weights_sha256),
  }
}

/** Plays a strip of frames without end. */
function play(canvas, strip) {
  const side = strip.height
  canvas.width = canvas.height = side
  const context = contextOf(canvas)
  let frame = 0
  const step = () => {
    context.drawImage(strip, frame * side, 0, side, side, 0, 0, side, side)
    frame = (frame + 1) % (strip.width / side)
    if (!wantsStillness()) setTimeout(step, canvas.offsetParent ? 60 : 1000)
  }
  step()
}

function table(facts) {
  const rows = Object.entries(facts).filter(([, value]) => value)
  return h(
    "dl",
    {},
    rows.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  )
}

function grouped(number) {
  return number.toLocaleString("en")
}
