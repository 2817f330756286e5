/**
 * How a generator learns: the film of its run, a game against its discriminator, one step slowly.
 *
 * What is shown is history.json and history.webp of a model folder, as `export` writes them.
 */

import {
  all,
  button,
  canvas,
  div,
  h,
  paintPart,
  range,
  relabel,
  title,
  wantsStillness,
} from "./dom.js"
import { Curves } from "./learn_curves.js"
import { Game } from "./learn_game.js"

const PACE = 300 // milliseconds a moment
const STEP = [
  [
    "A number becomes a place",
    "A seed is turned into z: a list of random numbers, one place among all pictures that there could be.",
  ],
  [
    "The generator draws",
    "Its layers unfold z into a picture. At first they are random, and so is what they draw.",
  ],
  [
    "The discriminator judges",
    "It is shown pictures, real ones and drawn ones, and says of each how real it looks: D(x), from 0 to 1.",
  ],
  [
    "The discriminator learns",
    "It is right if D(real) is near 1 and D(drawn) near 0. Its loss, −log D(real) − log(1 − D(drawn)), is less the better it tells them apart; each of its weights moves a little to where the loss is less.",
  ],
  [
    "The generator learns",
    "It never sees a real picture. The discriminator's verdict is traced back through it, pixel by pixel, to the generator's own weights: they move to where its loss, −log D(drawn), is less. Then the next step begins, some thousand times.",
  ],
]

export class Learn {
  /** @type {Keys} */
  keys = {
    " ": ["Play or pause the run", () => this.#toggle()],
  }
  /** @type {any} */
  history = null
  /** @type {ImageBitmap | null} */
  sheet = null
  #playing = 0 // the timer that shows the next moment

  /** @param {Explorer} app */
  constructor(app) {
    this.app = app
    this.canvas = canvas({ class: "large", role: "img" })
    this.seen = h("p", { class: "detail", role: "status" })
    this.scrub = range(0, 1, 1, {
      "aria-label": "Moment of the run",
      oninput: () => {
        this.#stop()
        this.#show(this.scrub.valueAsNumber)
      },
    })
    this.play = button("Play", "play", () => this.#toggle(), { class: "button primary" })
    this.curves = new Curves((moment) => this.#show(moment))
    this.game = new Game()
    this.note = h("p")
    const say =
      "Two networks in a contest: a generator draws, a discriminator tells drawn from real, and " +
      `each learns from the other. Here is how that ${app.live ? "goes" : "went"}.`
    this.film = div(
      "split",
      div("stage", div("frame", this.canvas), div("row player", this.play, this.scrub), this.seen),
      div("panel", this.curves.root),
    )
    this.rest = div("stacked", this.film, this.game.root, slowly())
    this.rest.hidden = true // until it is known what there is
    this.root = div(
      "learn-view stacked",
      div(
        "heading",
        title(app.live ? "How it learns to draw" : "How it learnt to draw"),
        h("p", {}, say),
        this.note,
      ),
      this.rest,
    )
  }

  async show() {
    const { card, live } = this.app // a run that is watched goes on
    if (card.id === this.shown) return
    const { of, history, sheet } = await this.#history(card.id)
    if (card !== this.app.card) return
    this.shown = card.id
    this.rest.hidden = false
    this.film.hidden = this.game.root.hidden = !history
    this.note.textContent = noteOf(of, card, history)
    if (!history) return
    const before = this.history ? this.scrub.valueAsNumber : -1
    const follows = before < 0 || before === this.history.moments.length - 1
    const last = history.moments.length - 1
    Object.assign(this, { history, sheet })
    this.scrub.max = String(last)
    this.curves.offer(history)
    if (!live || before < 0) this.game.offer(history, sheet)
    if (live) return this.#show(follows ? last : Math.min(before, last))
    this.#show(wantsStillness() ? last : 0)
    if (!wantsStillness()) this.#start()
  }

  hide() {
    this.#stop()
  }

  /** Returns the history of a generator, else of the first here that has one. */
  async #history(id) {
    const { api, generators } = this.app
    const others = generators.list.map((one) => one.id).filter((other) => other !== id)
    for (const of of [id, ...others]) {
      const { card } = await generators.get(of)
      if (!card.history) continue
      const [history, sheet] = await Promise.all([
        api.json(`/models/${of}/history.json`),
        api.image({ url: `/models/${of}/history.webp` }),
      ])
      return { of, history, sheet }
    }
    return { of: id, history: null, sheet: null }
  }

  #show(moment) {
    const { history, sheet, scrub } = this
    const side = history.side * history.grid
    const [x, y] = [moment % history.across, Math.floor(moment / history.across)]
    paintPart(this.canvas, sheet, x * side, y * side, side)
    scrub.valueAsNumber = moment
    const seen = history.moments[moment].toLocaleString("en")
    const text = `After ${seen} pictures: what the same ${history.grid ** 2} seeds look like.`
    this.seen.textContent = text
    scrub.setAttribute("aria-valuetext", `${seen} pictures seen`)
    this.canvas.setAttribute("aria-label", text)
    this.canvas.dataset.moment = String(moment)
    this.curves.mark(moment)
  }

  #toggle() {
    if (this.#playing) this.#stop()
    else this.#start()
  }

  #start() {
    const last = this.history.moments.length - 1
    if (this.scrub.valueAsNumber >= last) this.#show(0)
    this.#playing = setInterval(() => {
      const next = this.scrub.valueAsNumber + 1
      this.#show(next)
      if (next >= last) this.#stop()
    }, PACE)
    this.#label("Pause", "pause")
  }

  #stop() {
    clearInterval(this.#playing)
    this.#playing = 0
    this.#label("Play", "play")
  }

  #label(text, drawing) {
    relabel(this.play, text)
    for (const use of all(this.play, "use")) use.setAttribute("href", `#${drawing}`)
  }
}

function noteOf(of, card, history) {
  if (!history) return `The folder of ${card.name} says nothing of how it came to be.`
  const other = of === card.id ? "" : `${card.name} has no history; this is ${of.split("@")[0]}. `
  return other + (history.note ?? "")
}

/** Returns one step of training in captions. */
function slowly() {
  const steps = STEP.map(([name, text]) => h("li", {}, h("h3", {}, name), h("p", {}, text)))
  return h("section", {}, h("h2", {}, "One step, slowly"), h("ol", { class: "steps" }, steps))
}
