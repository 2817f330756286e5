/** The pins of a path in their order: opened, moved with buttons or by dragging, and removed. */

import { all, announce, button, canvas, div, h, paintSoon } from "./dom.js"
import { moved } from "./interpolation.js"
import { describe, drawing, keyOf } from "./picture.js"

const PIN = "application/x-ganserve-pin" // what is dragged, else it may be a file

export class PinList {
  /** @param {Explorer} app @param {(pins: Picture[]) => void} commit takes the new pins */
  constructor(app, commit) {
    this.app = app
    this.commit = commit
    /** @type {Picture[]} */
    this.pins = []
    this.root = h("ol", { class: "pins", "aria-label": "Pinned pictures, in order" })
  }

  /** @param {Picture[]} pins */
  show(pins) {
    const [focused] = all(this.root, "[data-act]:focus")
    this.pins = pins
    this.root.replaceChildren(...pins.map((picture, place) => this.#pin(picture, place)))
    const acts = all(this.root, "[data-act]:enabled")
    if (focused) acts.find(({ dataset }) => dataset.act === focused.dataset.act)?.focus()
  }

  #pin(picture, place) {
    const drawn = canvas()
    paintSoon(drawn, this.app.api.image(drawing(picture)))
    const title = describe(picture)
    const name = `${title}, place ${place + 1}`
    const onclick = () => this.app.open(picture)
    const words = { class: "tile", "aria-label": `Open ${name}`, title, onclick }
    const dragging = {
      draggable: true,
      ondragstart: (event) => event.dataTransfer.setData(PIN, String(place)),
      ondragover: (event) => event.dataTransfer.types.includes(PIN) && event.preventDefault(),
      ondrop: (event) => this.#drop(event, place),
    }
    const acts = this.#acts(picture, place, name)
    return h("li", dragging, h("button", { type: "button", ...words }, drawn), acts)
  }

  #acts(picture, place, name) {
    const act = (label, drawing, onclick, disabled = false) => {
      const words = { shown: false, disabled, "data-act": `${label} ${keyOf(picture)}` }
      return button(`${label} ${name}`, drawing, onclick, words)
    }
    const last = place === this.pins.length - 1
    const others = () => this.pins.filter((_, other) => other !== place)
    return div(
      "acts",
      act("Move left", "left", () => this.#move(place, place - 1), place === 0),
      act("Remove", "close", () => this.commit(others())),
      act("Move right", "right", () => this.#move(place, place + 1), last),
    )
  }

  #move(from, to) {
    this.commit(moved(this.pins, from, to))
    announce(`Moved to place ${to + 1}`)
  }

  #drop(event, place) {
    if (!event.dataTransfer.types.includes(PIN)) return
    event.preventDefault()
    this.#move(Number(event.dataTransfer.getData(PIN)), place)
  }
}
