/** Many small pictures to choose from: a sheet cut into buttons, walked through with arrow keys. */

import { all, canvas, h, paintPart, paintSoon } from "./dom.js"
import {
  changed,
  describe,
  drawing,
  keyOf,
  lookIn,
  lookOf,
  plainPicture,
  sheetDrawing,
  urlOf,
} from "./picture.js"
import { seedAfter } from "./seeds.js"

const PICTURES = new WeakMap() // of tiles

/** Returns the picture of the tile that has the focus, or is under the pointer. */
export function pointedPicture() {
  const tile =
    document.activeElement?.closest("button.tile") ?? document.querySelector("button.tile:hover")
  return tile && PICTURES.get(tile)
}

/** Returns the request that draws pictures of `n` seeds that follow one another. */
export function runDrawing({ model, seed, n, look }) {
  return { url: urlOf("/generate.png", { model, seed, n, columns: columnsOf(n), ...lookOf(look) }) }
}

/** Draws such pictures, or fewer where the host draws no such sheets. */
export async function drawRun(api, run) {
  const { model, seed, n, look } = run
  try {
    const sheet = await api.image(runDrawing(run))
    const pictures = Array.from({ length: n }, (_, place) =>
      changed(plainPicture(model, seedAfter(seed, place)), lookIn(look)),
    )
    return { pictures, sheet, columns: columnsOf(n) }
  } catch (error) {
    if (error.status !== 422 || error.gone || n === 1) throw error
    return drawRun(api, { ...run, n: Math.floor(n / 2) })
  }
}

/**
 * Draws pictures on one sheet, or each by itself where the host draws no such sheets.
 *
 * @returns {Promise<boolean>} whether they are shown: others may have been asked for meanwhile
 */
export async function drawEach(tiles, pictures, api) {
  const columns = columnsOf(pictures.length)
  if (pictures.length === 0) {
    tiles.clear()
    return true
  }
  tiles.wait(pictures.length)
  const turn = (tiles.turn = {})
  try {
    const sheet = await api.image(sheetDrawing(pictures, columns))
    if (tiles.turn !== turn) return false
    tiles.clear()
    tiles.add({ pictures, sheet, columns })
  } catch {
    if (tiles.turn !== turn) return false
    tiles.showEach(pictures, api)
  }
  return true
}

function columnsOf(n) {
  return Math.ceil(Math.sqrt(n))
}

/** Rows and columns of buttons, of which Tab meets one. */
export class Tiles {
  /** @param {string} label of the whole @param {(picture: Picture) => void} choose */
  constructor(label, choose) {
    this.choose = choose
    /** @type {object | null} */
    this.turn = null
    this.root = h("div", {
      class: "tiles",
      role: "group",
      "aria-label": label,
      onclick: (event) => this.#clicked(event),
      onkeydown: (event) => this.#walked(event),
      onfocusin: ({ target }) => this.#enter(target),
    })
  }

  /** Shows empty places while pictures are drawn: each picture takes the first that is left. */
  expect(count) {
    this.clear()
    this.root.classList.add("loading")
    this.root.append(...Array.from({ length: count }, () => h("span", { class: "tile" })))
  }

  /** Takes away the places that have stayed empty. */
  expectNone() {
    for (const place of this.root.querySelectorAll("span.tile")) place.remove()
  }

  /** Shows that others are drawn: those that are there stay meanwhile. */
  wait(count) {
    if (this.#buttons().length) this.root.classList.add("loading")
    else this.expect(count)
  }

  /** Shows that no others come, also of those that are still drawn. */
  rest() {
    this.turn = null
    this.root.classList.remove("loading")
  }

  /** Returns the tile of a picture, if it is there. */
  find(picture) {
    const key = picture && keyOf(picture)
    return this.#buttons().find((tile) => keyOf(PICTURES.get(tile)) === key)
  }

  clear() {
    this.turn = null
    this.root.replaceChildren()
    this.root.classList.remove("loading")
  }

  /** Shows pictures that lie side by side in a sheet, after those that are there already. */
  add({ pictures, sheet, columns }) {
    const side = sheet.width / columns
    this.root.classList.remove("loading")
    for (const [place, picture] of pictures.entries()) {
      const { drawn } = this.#append(picture)
      paintPart(drawn, sheet, (place % columns) * side, Math.floor(place / columns) * side, side)
    }
  }

  /** Shows pictures that each come by themselves, instead of those that are there. */
  showEach(pictures, api) {
    this.clear()
    for (const picture of pictures) {
      const { drawn, tile } = this.#append(picture)
      paintSoon(drawn, api.image(drawing(picture)), () => tile.classList.add("missing"))
    }
  }

  /** Marks those of which `holds` is true. @param {(picture: Picture) => boolean} holds */
  mark(holds) {
    for (const tile of this.#buttons()) {
      tile.setAttribute("aria-pressed", String(holds(PICTURES.get(tile))))
    }
  }

  #append(picture) {
    const label = describe(picture)
    const tabIndex = this.root.querySelector("button.tile") ? -1 : 0
    const words = { type: "button", class: "tile", "aria-label": label, title: label, tabIndex }
    const drawn = canvas()
    const tile = h("button", words, drawn)
    PICTURES.set(tile, picture)
    const empty = this.root.querySelector("span.tile")
    if (empty) empty.replaceWith(tile)
    else this.root.append(tile)
    return { drawn, tile }
  }

  #buttons() {
    return all(this.root, "button.tile")
  }

  #clicked(event) {
    const tile = event.target.closest("button.tile")
    if (tile) this.choose(PICTURES.get(tile))
  }

  #enter(target) {
    for (const tile of this.#buttons()) tile.tabIndex = tile === target ? 0 : -1
  }

  #walked(event) {
    const tiles = this.#buttons()
    const place = tiles.findIndex((tile) => tile === document.activeElement)
    const columns = getComputedStyle(this.root).gridTemplateColumns.split(" ").length
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }
    const ends = { Home: 0, End: tiles.length - 1 }
    const next = event.key in ends ? ends[event.key] : place + steps[event.key]
    if (place < 0 || !(next >= 0 && next < tiles.length)) return
    event.preventDefault()
    tiles[next].focus()
  }
}
