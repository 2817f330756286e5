/** Many random pictures at once: the view that is seen first. */

import { ClearButton } from "./controls.js"
import { attempt, button, choice, div, h, toast } from "./dom.js"
import { Hero } from "./hero.js"
import { lookIn, lookOf, urlOf } from "./picture.js"
import { randomSeed, seedAfter } from "./seeds.js"
import { drawRun, runDrawing, Tiles } from "./tiles.js"

const MOST = 160 // pictures at once, where the host allows them
const MOST_WAITING = 60
const SOON = 12 // pictures, about, in the sheet that comes first: a large one takes its time
const HEAD = 360 // pixels above the pictures, about
const MOST_CHIPS = 12 // classes, else they are a list

export class Grid {
  #drawing = Promise.resolve()
  count = 0
  most = MOST
  columns = 1
  fits = 1

  /** @type {Keys} */
  keys = {
    r: ["Shuffle", () => this.#shuffle()],
    "/": ["Type a name", () => this.hero.input.focus()],
  }

  /** @param {Explorer} app */
  constructor(app) {
    this.app = app
    this.tiles = new Tiles("Pictures", (picture) => this.#choose(picture))
    this.hero = new Hero(app)
    this.pinning = h("button", {
      type: "button",
      class: "button",
      "aria-pressed": "false",
      onclick: () => this.#pinMany(this.pinning.ariaPressed !== "true"),
    })
    this.pinning.textContent = "Pin several"
    this.clear = new ClearButton(() =>
      this.app.change("grid", lookIn({ class: app.state.grid.class })),
    )
    this.classes = h("div", { class: "row chips", role: "group", "aria-label": "Class" })
    this.classes.addEventListener("focusin", ({ target }) =>
      /** @type {Element} */ (target).scrollIntoView({ block: "nearest", inline: "nearest" }),
    )
    /** @type {import("./export_panel.js").ExportPanel | null} */
    this.exports = null
    this.sharing = h("details", { class: "sharing", ontoggle: () => this.#offerSheet() })
    this.sharing.append(h("summary", {}, "Share and download these pictures"))
    this.more = button("More pictures", null, () => this.#more(this.most), { hidden: true })
    this.root = div(
      "grid-view",
      this.hero.root,
      div(
        "row between bar",
        div("row", this.classes, this.clear.root),
        div(
          "row",
          this.pinning,
          button("Shuffle", "dice", () => this.#shuffle(), { keys: "R" }),
        ),
      ),
      this.tiles.root,
      h("p", { class: "middle" }, this.more),
      this.sharing,
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
    this.hero.show(this.app, grid.class)
    this.#showClasses(card.classes, grid.class)
    this.clear.show(grid)
    const shown = JSON.stringify([model, grid])
    if (shown === this.shown) return
    this.shown = shown
    this.count = 0
    this.more.hidden = true
    this.most = Math.min(card.ranges.pictures, MOST, this.#fitting())
    this.tiles.wait(this.most)
    this.marks()
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
      if (turn !== this.turn) return
      this.shown = "" // it is drawn anew when the view is shown again
      this.tiles.rest()
      this.tiles.expectNone()
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
    if (this.count === 0) this.tiles.expect(this.most)
    this.tiles.add(found)
    this.count += drawn
    this.marks()
    this.#offerSheet()
  }

  /** Opens a picture, or pins it while several are pinned. */
  #choose(picture) {
    this.opened = picture
    if (this.pinning.ariaPressed === "true") this.app.togglePin(picture)
    else this.app.open(picture)
  }

  #pinMany(on) {
    this.pinning.ariaPressed = String(on)
    this.tiles.root.classList.toggle("picking", on)
    if (on) toast("Choose pictures: they go on a path, to be played as a film.")
    this.marks()
  }

  /** Marks what is pinned, while several are. */
  marks() {
    const on = this.pinning.ariaPressed === "true"
    this.tiles.mark((picture) => on && this.app.isPinned(picture))
  }

  /** Returns the tile that was opened last, which has the focus when it is left again. */
  left() {
    return this.tiles.find(this.opened)
  }

  /** Offers what is shown as one sheet. */
  async #offerSheet() {
    if (!this.sharing.open || this.count === 0) return
    await attempt(async () => {
      const { ExportPanel } = await this.app.api.part("export_panel")
      const exports = (this.exports ??= new ExportPanel(this.app))
      if (!exports.root.isConnected) this.sharing.append(exports.primary, exports.root)
      exports.show(sheetOf(this.app, Math.min(this.count, this.most)))
    })
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
}

/** Returns a sheet of pictures that follow one another. @returns {Subject} */
function sheetOf({ state, card }, n) {
  const { grid } = state
  const columns = Math.min(8, n)
  const model = card.id
  return {
    name: `${card.name}-${grid.seed}-sheet`,
    alt: `${n} pictures by ${card.name}`,
    page: location.href,
    width: card.width * columns,
    height: card.width * Math.ceil(n / columns),
    draw: (format, words) => ({
      url: urlOf(`/generate.${format}`, {
        model,
        seed: grid.seed,
        n,
        columns,
        ...lookOf(grid),
        ...words,
      }),
    }),
  }
}

function chip(name, pressed, pick) {
  const words = { class: "chip", "aria-pressed": String(pressed), onclick: () => pick(name) }
  return h("button", { type: "button", ...words }, name || "All")
}
