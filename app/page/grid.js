/** Many random pictures at once: the first thing that is seen. */

import { button, choice, h, toast } from "./dom.js"
import { Look } from "./look.js"
import { changed, lookIn, lookOf, plainPicture, urlOf } from "./picture.js"
import { randomSeed, seedAfter, seedProblem } from "./seeds.js"
import { fittingSheet, Tiles } from "./tiles.js"

const MOST = 160 // pictures at once, where the host allows them
const MOST_WAITING = 60
const SOON = 24 // pictures, about, in the sheet that comes first: a large one takes its time
const HEAD = 160 // pixels above the pictures, about

export class Grid {
  #drawing = Promise.resolve()

  keys = { r: ["Shuffle", () => this.shuffle()], "/": ["Type a seed", () => this.input.focus()] }

  constructor(app) {
    this.app = app
    this.tiles = new Tiles("Pictures", (picture) => app.open(picture))
    this.input = h("input", {
      class: "seed",
      placeholder: "Any name or number",
      "aria-label": "Seed: a number or any text",
      "aria-describedby": "seed-problem",
      enterKeyHint: "go",
      autocapitalize: "off",
      autocomplete: "off",
      spellcheck: false,
    })
    this.problem = h("p", { class: "problem", id: "seed-problem", hidden: true })
    this.look = new Look(() => this.#commit(lookIn({ class: app.state.grid.class })))
    this.classes = h("div", { class: "chips", role: "group", "aria-label": "Class" })
    this.more = button("More pictures", null, () => this.#more(this.most), { hidden: true })
    this.root = h(
      "section",
      { class: "grid-view" },
      h(
        "div",
        { class: "hero" },
        h(
          "div",
          {},
          h("h1", {}, "Every seed is a picture that never changes."),
          (this.line = h("p")),
        ),
        h(
          "form",
          { class: "ask", onsubmit: (event) => this.#ask(event) },
          this.input,
          h("button", { class: "button primary" }, "Show"),
          button("Shuffle", "dice", () => this.shuffle(), { keys: "R" }),
        ),
        this.problem,
        this.look.root,
        this.classes,
      ),
      this.tiles.root,
      h("p", { class: "middle" }, this.more),
    )
  }

  /** Empty places, for a page that knows nothing yet. */
  wait() {
    this.tiles.expect(MOST_WAITING)
  }

  /** Begins with the first pictures before it is known what the host allows: most allow as many. */
  drawAhead(model, grid) {
    grid.seed ||= randomSeed(MOST)
    const [soon] = this.#parts(Math.min(MOST, this.#fitting()))
    this.app.api.image(sheetOf(model, grid.seed, soon, grid)).catch(() => {})
  }

  async show({ model, grid }) {
    if (!grid.seed) {
      const seed = randomSeed(MOST)
      return this.app.commit({ grid: { ...grid, seed } }, { replace: true })
    }
    const { card } = this.app
    const invitation = "Choose one and steer it, or type a seed of your own."
    this.line.textContent = `Drawn just now by ${card.name}. ${invitation}`
    this.#showClasses(card.classes, grid.class)
    this.look.show(grid)
    const wanted = JSON.stringify([model, grid])
    if (wanted === this.shown) return
    this.shown = wanted
    this.count = 0
    this.more.hidden = true
    this.most = Math.min(card.ranges.pictures, MOST, this.#fitting())
    this.tiles.expect(this.most)
    this.turn = {}
    this.#drawing = this.#fill(this.turn, this.#drawing)
    await this.#drawing
  }

  /** Draws all that is wanted, after what is being drawn: so no backlog comes of many shuffles. */
  async #fill(turn, before) {
    await before.catch(() => {})
    if (turn !== this.turn) return
    const [soon, later] = this.#parts(this.most)
    try {
      await this.#add(soon)
    } catch (error) {
      if (turn === this.turn) this.shown = "" // it is drawn anew when somebody comes back
      throw error
    }
    if (later && turn === this.turn) await this.#more(later)
    if (turn !== this.turn) return
    this.tiles.expectNone()
    this.more.hidden = false
  }

  shuffle() {
    this.#commit({ seed: randomSeed(MOST) })
  }

  #commit(words) {
    this.app.commit({ grid: { ...this.app.state.grid, ...words } })
  }

  /** How many pictures fill the window: the same number as long as it has that size. */
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

  /** The same number in two sheets: whole rows that are soon there, and the others. */
  #parts(count) {
    const soon = this.columns * Math.ceil(SOON / this.columns)
    return soon < count ? [soon, count - soon] : [count]
  }

  /** Further pictures: those that are there stay if there are none. */
  async #more(count) {
    this.more.disabled = true
    try {
      await this.#add(count)
    } catch (error) {
      toast(error.message)
    } finally {
      this.more.disabled = false
    }
  }

  /** Draws so many pictures after those that are there, or fewer where the host does. */
  async #add(count) {
    const { state, card } = this.app
    const { turn } = this
    const first = seedAfter(state.grid.seed, this.count)
    const wanted = Math.min(count, this.most)
    const { n, sheet } = await fittingSheet(this.app.api, wanted, (n) =>
      sheetOf(card.id, first, n, state.grid),
    )
    if (turn !== this.turn) return
    if (n < wanted) this.most = n
    const look = lookIn(state.grid)
    const pictures = Array.from({ length: n }, (_, place) =>
      changed(plainPicture(card.id, seedAfter(first, place)), look),
    )
    this.tiles.add(pictures, sheet, columnsOf(n))
    this.count += n
  }

  #showClasses(classes, chosen) {
    const pick = (name) => this.#commit({ class: name })
    this.classes.hidden = classes.length === 0
    const all = ["", ...classes]
    if (classes.length > 12) {
      const list = choice(
        all.map((name) => [name, name || "Every class"]),
        chosen,
        pick,
      )
      list.setAttribute("aria-label", "Class")
      return this.classes.replaceChildren(list)
    }
    this.classes.replaceChildren(
      ...all.map((name) =>
        h(
          "button",
          {
            type: "button",
            class: "chip",
            "aria-pressed": String(name === chosen),
            onclick: () => pick(name),
          },
          name || "All",
        ),
      ),
    )
  }

  async #ask(event) {
    event.preventDefault()
    const text = this.input.value.trim()
    const problem = seedProblem(text)
    this.problem.textContent = problem
    this.problem.hidden = problem === ""
    this.input.setAttribute("aria-invalid", String(problem !== ""))
    if (problem) return this.input.focus()
    try {
      this.app.open(await this.app.pictureOf(text, this.app.state.grid.class))
    } catch (error) {
      toast(error.message)
    }
  }
}

function columnsOf(n) {
  return Math.ceil(Math.sqrt(n))
}

function sheetOf(model, seed, n, look) {
  const words = { model, seed, n, columns: columnsOf(n), ...lookOf(look) }
  return { url: urlOf("/generate.png", words) }
}
