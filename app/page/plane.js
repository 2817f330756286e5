/** A plane between four pictures: walk about on it, and open what lies at a place. */

import { announce, button, choice, field, h, paint, show, toast } from "./dom.js"
import { Latest } from "./latest.js"
import { Look } from "./look.js"
import { changed, describe, drawing, lookIn, lookOf, shortNumber, urlOf } from "./picture.js"
import { randomSeed } from "./seeds.js"
import { PLANE_WAYS } from "./way.js"

const MOST = 9 // pictures on a side of the map
const CORNERS = ["Top left", "Top right", "Bottom left", "Bottom right"]
const STEP = 0.02

export class Plane {
  keys = {
    r: ["Four other corners", () => this.#corners([0, 1, 2, 3])],
    Enter: ["Open the picture", () => this.#open()],
  }

  constructor(app) {
    this.app = app
    this.latest = new Latest()
    this.mapLatest = new Latest()
    this.map = h("canvas", { width: 1, height: 1 })
    this.cursor = h("span", { class: "cursor" })
    this.pad = h(
      "div",
      {
        class: "pad",
        tabIndex: 0,
        role: "group",
        "aria-label": "Plane: drag, or walk with the arrow keys",
        "data-start": true,
        onpointerdown: (event) => this.#grab(event),
        onpointermove: (event) => this.held && this.#drag(event),
        onpointerup: (event) => this.#letGo(event),
        onpointercancel: (event) => this.#letGo(event),
        onkeydown: (event) => this.#walk(event),
        onkeyup: (event) => this.walking && this.#keep(event),
      },
      this.map,
      this.cursor,
    )
    this.canvas = h("canvas", { class: "large", role: "img", width: 1, height: 1 })
    this.ranges = ["x", "y"].map((axis) => {
      const input = h("input", { type: "range", min: 0, max: 1, step: STEP })
      input.addEventListener("input", () => this.#move({ [axis]: Number(input.value) }))
      input.addEventListener("change", () => this.#keep())
      return input
    })
    this.mode = choice(PLANE_WAYS, "", (mode) => this.#commit({ mode }))
    this.look = new Look(() => this.#commit(lookIn({ class: app.state.plane.class })))
    this.classField = h("div")
    const corner = (place) =>
      button(CORNERS[place], "dice", () => this.#corners([place]), {
        class: `button small corner-${place}`,
        "aria-label": `${CORNERS[place]}: another picture`,
      })
    this.root = h(
      "section",
      { class: "plane-view" },
      h("div", { class: "stage" }, this.pad),
      h(
        "div",
        { class: "panel" },
        h(
          "div",
          { class: "heading" },
          h("h1", {}, "Plane"),
          h("p", {}, "Four corners, and every picture between them. Drag across the map."),
        ),
        h(
          "button",
          {
            type: "button",
            class: "frame plain",
            title: "Open this picture (Enter)",
            onclick: () => this.#open(),
          },
          this.canvas,
        ),
        field("Across", this.ranges[0]),
        field("Down", this.ranges[1]),
        h("div", { class: "pair" }, field("Way", this.mode), this.classField),
        this.look.root,
        h("p", { class: "name", id: "corners-label" }, "Other corners"),
        h(
          "div",
          { class: "corners", role: "group", "aria-labelledby": "corners-label" },
          [0, 1, 2, 3].map(corner),
        ),
        h(
          "div",
          { class: "row" },
          button("All four", "dice", () => this.#corners([0, 1, 2, 3]), { keys: "R" }),
          button("Pin", "pin", () => this.app.togglePin(this.current()), { keys: "P" }),
          button("Open", "right", () => this.#open(), { keys: "Enter", class: "button primary" }),
        ),
      ),
    )
  }

  show({ plane }) {
    if (plane.seeds.length !== 4) {
      const seeds = CORNERS.map(() => randomSeed())
      return this.app.commit({ plane: { ...plane, seeds } }, { replace: true })
    }
    const { card } = this.app
    if (card !== this.card) this.#newModel(card)
    if (this.classes) this.classes.value = plane.class
    this.mode.value = plane.mode
    this.look.show(plane)
    if (!this.walking && !this.held) this.place = { x: plane.x, y: plane.y }
    this.#drawMap(plane)
    this.#move({})
  }

  #newModel(card) {
    this.card = card
    this.classField.replaceChildren()
    this.classes = null
    if (card.classes.length === 0) return
    const options = [["", "Each its own"], ...card.classes.map((name) => [name, name])]
    this.classes = choice(options, "", (name) => this.#commit({ class: name }))
    this.classField.append(field("Class", this.classes))
  }

  #drawMap(plane) {
    const { pictures, side = MOST } = this.card.ranges
    const most = Math.max(1, Math.min(MOST, side, Math.floor(Math.sqrt(pictures))))
    const { seeds, mode } = plane
    const words = { model: this.card.id, seeds: seeds.join(","), columns: most, rows: most, mode }
    const url = urlOf("/plane.png", { ...words, ...lookOf(plane) })
    this.mapLatest.ask(
      () => this.app.api.image({ url }),
      (image) => paint(this.map, image),
      (error) => toast(error.message),
    )
  }

  /** The picture at the place. */
  current() {
    const { plane } = this.app.state
    const place = { seeds: plane.seeds, ...this.place }
    if (plane.mode) place.mode = plane.mode
    return changed({ model: this.card.id, plane: place }, lookIn(plane))
  }

  #move(words) {
    const inside = (share) => Math.min(1, Math.max(0, Number(share.toFixed(4))))
    const { x, y } = { ...this.place, ...words }
    this.place = { x: inside(x), y: inside(y) }
    this.ranges[0].value = this.place.x
    this.ranges[1].value = this.place.y
    this.cursor.style.left = `${100 * this.place.x}%`
    this.cursor.style.top = `${100 * this.place.y}%`
    const picture = this.current()
    this.latest.ask(
      () => this.app.api.image(drawing(picture)),
      (image) => show(this.canvas, image, drawing(picture).url, describe(picture)),
      (error) => toast(error.message),
    )
  }

  #grab(event) {
    if (event.button !== 0) return
    this.held = true
    this.pad.setPointerCapture(event.pointerId)
    this.#drag(event)
  }

  #drag({ clientX, clientY }) {
    const box = this.pad.getBoundingClientRect()
    this.#move({ x: (clientX - box.left) / box.width, y: (clientY - box.top) / box.height })
  }

  #letGo() {
    if (!this.held) return
    this.held = false
    this.#keep()
  }

  #walk(event) {
    const step = event.shiftKey ? 5 * STEP : STEP
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }
    const way = steps[event.key]
    if (!way) return
    event.preventDefault()
    this.walking = true
    this.#move({ x: this.place.x + step * way[0], y: this.place.y + step * way[1] })
  }

  #keep() {
    this.walking = false
    const { x, y } = this.app.state.plane
    if (x !== this.place.x || y !== this.place.y) this.#commit(this.place)
    announce(
      `${shortNumber(100 * this.place.x)} % across, ${shortNumber(100 * this.place.y)} % down`,
    )
  }

  #corners(places) {
    const { seeds } = this.app.state.plane
    this.#commit({
      seeds: seeds.map((seed, place) => (places.includes(place) ? randomSeed() : seed)),
    })
  }

  #commit(words) {
    this.app.commit({ plane: { ...this.app.state.plane, ...words } })
  }

  #open() {
    this.app.open(this.current())
  }
}
