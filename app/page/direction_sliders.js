/** A slider for each direction along which pictures change most, with pictures of its two ends. */

import { canvas, div, h, paint, paintPart, range } from "./dom.js"
import { LatestOnly } from "./latest_only.js"
import { changed, drawing, sheetDrawing } from "./picture.js"

const MOST = 8

export class DirectionSliders {
  #latest = new LatestOnly()

  /** Calls `move` while a slider is dragged, `commit` after it. @param {Explorer} app */
  constructor(app, move, commit) {
    this.app = app
    this.move = move
    this.commit = commit
    this.sliders = []
    this.root = div("directions")
  }

  /** Offers the directions of the generator. @returns {number} how many */
  offer() {
    const { card, directions } = this.app
    this.sliders = directions
      .slice(0, Math.min(MOST, card.ranges.edits ?? MOST))
      .map((direction, place) =>
        this.#slider(direction, direction.name ?? `Direction ${place + 1}`),
      )
    this.root.replaceChildren(...this.sliders.map(({ root }) => root))
    return this.sliders.length
  }

  /** Shows the steps of a picture. @param {Record<string, number>} edit */
  fill(edit) {
    for (const { id, input, text } of this.sliders) {
      input.value = edit[id] ?? 0
      text.textContent = (edit[id] ?? 0).toFixed(1).replace(/^-(?=0\.0$)/, "")
    }
  }

  /** Draws a picture at both ends of every slider, on one sheet where they fit on one. */
  drawEnds(picture) {
    const { api, card } = this.app
    const ends = this.sliders.flatMap(({ ends }) => ends)
    const pictures = ends.map(({ edit }) =>
      changed(picture, { edit: { ...picture.edit, ...edit } }),
    )
    if (pictures.length === 0) return
    const each = () => Promise.all(pictures.map((one) => api.image(drawing(one))))
    if (pictures.length > card.ranges.pictures)
      return this.#latest.ask(each, (images) =>
        images.forEach((image, place) => paint(ends[place].drawn, image)),
      )
    this.#latest.ask(
      () => api.image(sheetDrawing(pictures, pictures.length)),
      (sheet) => {
        const side = sheet.width / ends.length
        ends.forEach(({ drawn }, place) => paintPart(drawn, sheet, place * side, 0, side))
      },
    )
  }

  /** @param {Direction} direction @param {string} name */
  #slider({ id, range: [low, high] }, name) {
    const input = range(low, high, (high - low) / 200, { "aria-label": name })
    const text = h("output")
    this.#listen(input, id, high)
    const ends = [this.#end(id, low, `${name}: as far left as it goes`)]
    ends.push(this.#end(id, high, `${name}: as far right as it goes`))
    const line = div("row between name", h("span", {}, name), text)
    const [less, more] = ends.map(({ root }) => root)
    const root = div("slider", less, h("div", {}, line, input), more)
    return { id, input, text, ends, root }
  }

  #end(id, step, label) {
    const drawn = canvas()
    const onclick = () => this.commit({ [id]: step })
    const words = { type: "button", class: "end", "aria-label": label, title: label, onclick }
    return { edit: { [id]: step }, drawn, root: h("button", words, drawn) }
  }

  #listen(input, id, high) {
    let dragged = false // keys go step by step
    const steps = () => {
      const step = Number(Number(input.value).toFixed(high < 1 ? 4 : 2))
      return { [id]: dragged ? snapped(step, high) : step }
    }
    input.addEventListener("pointerdown", () => (dragged = true))
    input.addEventListener("keydown", () => (dragged = false))
    input.addEventListener("input", () => this.move(steps()))
    input.addEventListener("change", () => this.commit(steps()))
    input.addEventListener("dblclick", () => this.commit({ [id]: 0 }))
  }
}

/** Takes what is near the middle for it, so that it is easy to find. */
function snapped(step, reach) {
  return Math.abs(step) < reach / 60 ? 0 : step
}
