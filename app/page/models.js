/** What draws here: cards, figures, licences, samples, and how it was trained. */

import { button, h, paint, wantsStillness } from "./dom.js"
import { urlOf } from "./picture.js"

const SAMPLES = 32

export class Models {
  keys = {}

  constructor(app) {
    this.app = app
    this.cards = h("div", { class: "cards" })
    this.root = h(
      "section",
      { class: "models-view" },
      h(
        "div",
        { class: "heading" },
        h("h1", { tabIndex: -1, "data-start": true }, "Models"),
        h("p", {}, "The generators that this host serves."),
      ),
      this.cards,
    )
  }

  async show() {
    if (this.cards.childElementCount) return
    const { models } = this.app
    const cards = await Promise.all(models.map(({ id }) => this.app.cardOf(id)))
    this.cards.replaceChildren(...cards.map(({ card }) => this.#card(card)))
  }

  #card(card) {
    const { training } = card
    const canvas = h("canvas", { class: "sheet", role: "img", width: 1, height: 1 })
    canvas.setAttribute("aria-label", `Samples of ${card.name}`)
    const n = Math.min(SAMPLES, card.ranges.pictures)
    const url = urlOf("/generate.png", { model: card.id, seed: 0, n, columns: Math.min(8, n) })
    this.app.api.image({ url }).then(
      (image) => paint(canvas, image),
      () => {},
    )
    const loop = h("canvas", {
      class: "loop",
      role: "img",
      width: 1,
      height: 1,
      "aria-label": `A loop of ${card.name}`,
    })
    this.#play(loop, card)
    const colour = card.channels === 1 ? "grey" : "colour"
    const facts = {
      Pictures: `${card.width} × ${card.height}, ${colour}`,
      Classes: card.classes.join(", "),
      Network: `${card.family}, z of ${card.z_dim} values, ${card.prior} prior`,
      Precision: card.precision,
      Hash: h("code", {}, card.id.split("@")[1]),
    }
    const learnt = {
      "Learnt from": `${training.data}, ${training.split}: ${grouped(training.images)} pictures`,
      "Pictures seen": grouped(training.images_seen),
      Again: card.preset ? h("code", {}, `make train PRESET=${card.preset}`) : "",
      "SHA-256 of the data": h("code", { class: "long" }, training.sha256),
      "SHA-256 of the weights": h("code", { class: "long" }, card.weights_sha256),
    }
    return h(
      "article",
      { class: "card" },
      h("div", { class: "samples" }, canvas),
      h(
        "div",
        { class: "panel" },
        h("div", { class: "row between" }, h("h2", {}, card.name), loop),
        table(facts),
        h("h3", {}, "Training"),
        table(learnt),
        h("h3", {}, "Licence and attribution"),
        h("p", {}, training.licence || "Its card names none."),
        this.#figures(card.metrics),
        h(
          "p",
          { class: "row" },
          this.#use(card),
          h("a", { class: "button", href: `/models/${card.id}` }, "Card as JSON"),
        ),
      ),
    )
  }

  #use(card) {
    return button(`Explore ${card.name}`, "grid", () => this.app.useModel(card.id), {
      class: "button primary",
    })
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

  async #play(canvas, card) {
    const words = {
      model: card.id,
      seeds: "1,2,3",
      loop: true,
      frames: Math.min(48, card.ranges.frames),
    }
    const strip = await this.app.api
      .image({ url: urlOf("/interpolate.png", words) })
      .catch(() => null)
    if (!strip) return canvas.remove()
    const side = strip.height
    canvas.width = canvas.height = side
    const context = canvas.getContext("2d")
    let frame = 0
    const step = () => {
      context.drawImage(strip, frame * side, 0, side, side, 0, 0, side, side)
      frame = (frame + 1) % (strip.width / side)
      if (!wantsStillness()) setTimeout(step, canvas.offsetParent ? 60 : 1000)
    }
    step()
  }
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
