/** What this is, and what draws here: cards, figures, licences, samples, how it was trained. */

import { button, canvas, div, h, paintPart, paintSoon, title, wantsStillness } from "./dom.js"
import { urlOf } from "./picture.js"

const SAMPLES = 32
const OFFICIAL = ["mnist", "fashion-mnist", "svhn"] // sets that training downloads by name

export class Models {
  /** @type {Keys} */
  keys = {}

  /** @param {Explorer} app */
  constructor(app) {
    this.app = app
    this.cards = div("cards")
    this.root = div("stacked", about(), this.cards)
  }

  async show() {
    const { list } = this.app.generators
    const shown = list.map(({ id }) => id).join()
    if (shown === this.shown) return
    this.shown = shown
    try {
      await this.#show(list)
    } catch (error) {
      this.shown = ""
      throw error
    }
  }

  async #show(list) {
    const found = await Promise.all(list.map(({ id }) => this.app.generators.get(id)))
    this.cards.replaceChildren(...found.map(({ card }) => this.#card(card)))
  }

  #card(card) {
    const { training } = card
    const primary = { class: "button primary" }
    const use = () => this.app.useModel(card.id)
    const explore = button(`Explore ${card.name}`, "grid", use, primary)
    const json = h("a", { class: "button", href: `./models/${card.id}` }, "Card as JSON")
    return h(
      "article",
      { class: "card" },
      div(
        "panel",
        div("row between", h("h2", {}, card.name), this.#loop(card)),
        this.#samples(card),
        h("h3", {}, "Licence and attribution"),
        h("p", {}, training.licence || "Its card names none."),
      ),
      div(
        "panel",
        table(factsOf(card)),
        h("h3", {}, "Training"),
        table(trainingOf(card)),
        this.#figures(card.metrics),
        h("p", { class: "row" }, explore, json),
      ),
    )
  }

  #samples({ id, name, ranges }) {
    const n = Math.min(SAMPLES, ranges.pictures)
    const columns = Math.min(8, n)
    const url = urlOf("/generate.png", { model: id, seed: 0, n, columns })
    const words = { class: "sheet", role: "img", "aria-label": `Samples of ${name}` }
    const size = { width: columns, height: Math.ceil(n / columns) } // its shape, before it is there
    const drawn = canvas({ ...words, ...size })
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
    const words = single.map(([name, value]) => [
      name.replaceAll("_", " "),
      String(Number(value.toPrecision(4))),
    ])
    const text = "Each name holds its protocol: the figure, how many pictures, against what."
    return h(
      "details",
      {},
      h("summary", {}, "Measured quality"),
      table(Object.fromEntries(words)),
      h("p", { class: "detail" }, text),
    )
  }
}

function about() {
  const what =
    "A generative adversarial network is two networks in a contest: a generator draws, a " +
    "discriminator tells drawn from real, and each learns from the other. What has learnt to draw " +
    "is served here: a number goes in, a picture comes out, and the same number is the same " +
    "picture for ever. Nothing is uploaded, and nobody is tracked."
  const use =
    "This is free software on this host. Its pictures may be used as the licence beside each " +
    "generator says: please keep the attribution."
  const docs = document.querySelector('footer a[href="docs"]')
  const api = docs && h("a", { class: "button", href: "docs" }, "The API")
  return div("heading about", title("About"), h("p", {}, what), h("p", {}, use), api)
}

function factsOf(card) {
  return {
    Pictures: `${card.width} × ${card.height}, ${card.channels === 1 ? "grey" : "colour"}`,
    Classes: card.classes.join(", "),
    Network: `${card.family}, z of ${card.z_dim} values, ${card.prior} prior`,
    Precision: card.precision,
    Upscaler: upscalerOf(card),
    Hash: h("code", {}, card.id.split("@")[1]),
  }
}

function upscalerOf({ upscaler }) {
  if (!upscaler) return ""
  return `${upscaler.scales.map((scale) => `${scale}x`).join(" and ")}, ${upscaler.hash}`
}

function trainingOf({ training, preset, family, weights_sha256 }) {
  const again = trainAgain(preset, family, training.data)
  return {
    "Trained on": `${training.data}, ${training.split}: ${grouped(training.images)} pictures`,
    "Pictures seen": grouped(training.images_seen),
    Preset: preset,
    Again: again && h("code", {}, again),
    "SHA-256 of the data": h("code", {}, training.sha256),
    "SHA-256 of the weights": h("code", {}, weights_sha256),
  }
}

/** The command that trains such a generator; "" where not everybody has the pictures. */
export function trainAgain(preset, family, data) {
  // presets of the family "residual" go by another name since modern-64 means another recipe
  const first = family === "residual" && !preset.endsWith("-v1") ? "-v1" : ""
  return preset && OFFICIAL.includes(data)
    ? `python -m model.training train --preset ${preset}${first} --data ${data}`
    : ""
}

/** Plays a strip of frames without end. */
function play(canvas, strip, frame = 0) {
  const side = strip.height
  paintPart(canvas, strip, frame * side, 0, side)
  const next = () => play(canvas, strip, (frame + 1) % (strip.width / side))
  if (!wantsStillness()) setTimeout(next, canvas.offsetParent ? 60 : 1000)
}

function table(facts) {
  const rows = Object.entries(facts).filter(([, value]) => value)
  const row = ([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))
  return h("dl", {}, rows.map(row))
}

function grouped(number) {
  return number.toLocaleString("en")
}
