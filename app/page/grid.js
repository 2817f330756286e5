/** Many random pictures at once: the view that is seen first. */

import { ClearButton, seedInput } from "./controls.js"
import { attempt, button, choice, div, h } from "./dom.js"
import { lookIn } from "./picture.js"
import { randomSeed, seedAfter, seedProblem } from "./seeds.js"
import { drawRun, runDrawing, Tiles } from "./tiles.js"

const MOST = 160 // pictures at once, where the host allows them
const MOST_WAITING = 60
const SOON = 24 // pictures, about, in the sheet that comes first: a large one takes its time
const HEAD = 160 // pixels above the pictures, about
const MOST_CHIPS = 12 // classes, else they are a list

export class Grid {
  #drawing = Promise.resolve()
  count = 0
  most = MOST
  columns = 1
  fits = 1

  /** @type {Keys} */
  keys = { r: ["Shuffle", () => this.#shuffle()], "/": ["Type a seed", () => this.input.focus()] }

  /** @param {Explorer} app */
  constructor(app) {
    this.app = app
    this.tiles = new Tiles("Pictures", (picture) => app.open(picture))
    this.input = seedInput({
      class: "seed",
      placeholder: "Any name or number",
      "aria-label": "Seed: a number or any text",
      "aria-describedby": "seed-problem",
      enterKeyHint: "go",
    })
    this.line = h("p")
    this.problem = h("p", { class: "problem", id: "seed-problem", hidden: true })
    this.clear = new ClearButton(() =>
      this.app.change("grid", lookIn({ class: app.state.grid.class })),
    )
    this.classes = h("div", { class: "row chips", role: "group", "aria-label": "Class" })
    this.more = button("More pictures", null, () => this.#more(this.most), { hidden: true })
    this.root = div(
      "grid-view",
      div(
        "hero",
        h("div", {}, h("h1", {}, "Every seed is a picture that never changes."), this.line),
        h(
          "form",
          { class: "ask", onsubmit: (event) => this.#ask(event) },
          this.input,
          h("button", { class: "button primary" }, "Show"),
          button("Shuffle", "dice", () => this.#shuffle(), { keys: "R" }),
        ),
        this.problem,
        this.clear.root,
        this.classes,
      ),
      this.tiles.root,
      h("p", { class: "middle" }, this.more),
    )
  }

  /** Shows empty places, before the host has said anything. */
  wait() {
    this.tiles.expect(MOST_WAITING)
  }

  /** Asks for the first pictures before it is known what the host allows: most allow as many. */
  drawAhead(model, grid) {
    grid.seed ||= randomSeed(MOST)
    const [n] = this.#parts(Math.min(MOST, this.#fitting()))
    this.app.api.image(runDrawing({ model, seed: grid.seed, n, look: grid })).catch(() => {})
  }

  async show({ model, grid }) {
    if (!grid.seed) return this.app.change("grid", { seed: randomSeed(MOST) }, { replace: true })
    const { card } = this.app
    const invitation = "Choose one and steer it, or type a seed of your own."
    this.line.textContent = `Drawn just now by ${card.name}. ${invitation}`
    this.#showClasses(card.classes, grid.class)
    this.clear.show(grid)
    const shown = JSON.stringify([model, grid])
    if (shown === this.shown) return
    this.shown = shown
    this.count = 0
    this.more.hidden = true
    this.most = Math.min(card.ranges.pictures, MOST, this.#fitting())
    this.tiles.expect(this.most)
    this.turn = {}
    this.#drawing = this.#fill(this.turn, this.#drawing)
    await this.#drawing
  }

  /** Draws after what is being drawn, so that many shuffles make no backlog. */
  async #fill(turn, before) {
    await before.catch(() => {})
    if (turn !== this.turn) return
    const [soon, later] = this.#parts(this.most)
    try {
      await this.#add(soon)
    } catch (error) {
      if (turn === this.turn) this.shown = "" // it is drawn anew when the view is shown again
      throw error
    }
    if (later && turn === this.turn) await this.#more(later)
    if (turn !== this.turn) return
    this.tiles.expectNone()
    this.more.hidden = false
  }

  #shuffle() {
    this.app.change("grid", { seed: randomSeed(MOST) })
  }

  /** Returns how many pictures fill the window: the same number as long as it has that size. */
  #fitting() {
    const size = [innerWidth, innerHeight].join()
    if (size !== this.size) {
      this.columns = getComputedStyle(this.tiles.root).gridTemplateColumns.split(" ").length
      const side = this.tiles.root.clientWidth / this.columns
      this.fits = this.columns * Math.max(4, Math.min(Math.ceil((innerHeight - HEAD) / side), 12))
      this.size = size
    }
    return this.fits
  }

  /** Returns the same number in two sheets: whole rows that come soon, and the others. */
  #parts(count) {
    const soon = this.columns * Math.ceil(SOON / this.columns)
    return soon < count ? [soon, count - soon] : [count]
  }

  /** Draws further pictures: those that are there stay if there are none. */
  async #more(count) {
    this.more.disabled = true
    await attempt(() => this.#add(count))
    this.more.disabled = false
  }

  /** Draws so many pictures after those that are there, or fewer where the host does. */
  async #add(count) {
    const { state, card, api } = this.app
    const { turn } = this
    const n = Math.min(count, this.most)
    const seed = seedAfter(state.grid.seed, this.count)
    const found = await drawRun(api, { model: card.id, seed, n, look: state.grid })
    if (turn !== this.turn) return
    const drawn = found.pictures.length
    if (drawn < n) this.most = drawn
    this.tiles.add(found)
    this.count += drawn
  }

  #showClasses(classes, chosen) {
    const pick = (name) => this.app.change("grid", { class: name })
    this.classes.hidden = classes.length === 0
    const all = ["", ...classes]
    if (classes.length <= MOST_CHIPS)
      return this.classes.replaceChildren(...all.map((name) => chip(name, name === chosen, pick)))
    const list = choice(
      all.map((name) => [name, name || "Every class"]),
      chosen,
      pick,
    )
    list.setAttribute("aria-label", "Class")
    this.classes.replaceChildren(list)
  }

  async #ask(event) {
    event.preventDefault()
    const text = this.input.value.trim()
    const problem = seedProblem(text)
    this.problem.textContent = problem
    this.problem.hidden = problem === ""
    this.input.setAttribute("aria-invalid", String(problem !== ""))
    if (problem) return this.input.focus()
    const { app } = this
    await attempt(async () => app.open(await app.pictureOf(text, app.state.grid.class)))
  }
}

function chip(name, pressed, pick) {
  const words = { class: "chip", "aria-pressed": String(pressed), onclick: () => pick(name) }
  return h("button", { type: "button", ...words }, name || "All")
}
