/** Many small pictures to choose from: a sheet cut into buttons, walked through with arrow keys. */

import { h, paint } from "./dom.js"
import { describe } from "./picture.js"

/**
 * As many pictures on a sheet as wanted, or fewer where the host draws no such sheets.
 *
 * @param {import("./api.js").Api} api
 * @param {number} n pictures wanted
 * @param {(n: number) => import("./picture.js").Drawing} drawingOf
 */
export async function fittingSheet(api, n, drawingOf) {
  try {
    return { n, sheet: await api.image(drawingOf(n)) }
  } catch (error) {
    if (error.status !== 422 || n === 1) throw error
    return fittingSheet(api, Math.floor(n / 2), drawingOf)
  }
}

/** Rows and columns of buttons, of which Tab meets one. */
export class Tiles {
  /**
   * @param {string} label of the whole
   * @param {(picture: import("./picture.js").Picture, event: Event) => void} choose
   */
  constructor(label, choose) {
    this.choose = choose
    this.root = h("div", {
      class: "tiles",
      role: "group",
      "aria-label": label,
      onclick: (event) => this.#clicked(event),
      onkeydown: (event) => this.#walked(event),
      onfocusin: ({ target }) => this.#enter(target),
    })
    this.pictures = []
  }

  /** Empty places, while pictures are drawn: each takes the first that is left. */
  expect(count) {
    this.clear()
    this.root.classList.add("loading")
    this.root.append(...Array.from({ length: count }, () => h("span", { class: "tile" })))
  }

  /** Takes away the places that have stayed empty. */
  expectNone() {
    for (const place of this.root.querySelectorAll("span.tile")) place.remove()
  }

  clear() {
    this.pictures = []
    this.root.replaceChildren()
    this.root.classList.remove("loading")
  }

  /** Shows pictures that lie side by side in a sheet, after those that are there already. */
  add(pictures, sheet, columns) {
    const side = sheet.width / columns
    this.root.classList.remove("loading")
    for (const [place, picture] of pictures.entries()) {
      const canvas = h("canvas", { width: side, height: side })
      const [x, y] = [(place % columns) * side, Math.floor(place / columns) * side]
      canvas.getContext("2d").drawImage(sheet, x, y, side, side, 0, 0, side, side)
      this.#append(picture, canvas)
    }
  }

  /** Shows pictures that each come by themselves. */
  addEach(pictures, api, drawing) {
    for (const picture of pictures) {
      const canvas = h("canvas", { width: 1, height: 1 })
      const tile = this.#append(picture, canvas)
      api.image(drawing(picture)).then(
        (image) => paint(canvas, image),
        () => tile.classList.add("missing"),
      )
    }
  }

  /** Marks those of which `holds` is true. */
  mark(holds) {
    for (const [place, tile] of this.#buttons().entries()) {
      tile.setAttribute("aria-pressed", String(holds(this.pictures[place])))
    }
  }

  #append(picture, canvas) {
    const label = describe(picture)
    const first = this.pictures.length === 0
    const words = { type: "button", class: "tile", "aria-label": label, title: label }
    const tile = h("button", { ...words, tabIndex: first ? 0 : -1 }, canvas)
    tile.picture = picture // for keys that are of no view
    this.pictures.push(picture)
    const empty = this.root.querySelector("span.tile")
    if (empty) empty.replaceWith(tile)
    else this.root.append(tile)
    return tile
  }

  #buttons() {
    return [...this.root.querySelectorAll("button.tile")]
  }

  #clicked(event) {
    const place = this.#buttons().indexOf(event.target.closest("button.tile"))
    if (place >= 0) this.choose(this.pictures[place], event)
  }

  #enter(target) {
    for (const tile of this.#buttons()) tile.tabIndex = tile === target ? 0 : -1
  }

  #walked(event) {
    const tiles = this.#buttons()
    const place = tiles.indexOf(document.activeElement)
    const columns = getComputedStyle(this.root).gridTemplateColumns.split(" ").length
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }
    const ends = { Home: 0, End: tiles.length - 1 }
    const next = event.key in ends ? ends[event.key] : place + steps[event.key]
    if (place < 0 || !(next >= 0 && next < tiles.length)) return
    event.preventDefault()
    tiles[next].focus()
  }
}
