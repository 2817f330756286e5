/** A plane between four pictures: walk about on it, and open what lies at a place. */

import { ClassField, ClearButton } from "./controls.js"
import { announce, button, canvas, choice, div, field, h, paint, range } from "./dom.js"
import { ExportPanel } from "./export_panel.js"
import { MODE_NAMES } from "./interpolation.js"
import { LatestOnly } from "./latest_only.js"
import { changed, lookIn, lookOf, shortNumber, urlOf } from "./picture.js"
import { PictureCanvas } from "./picture_canvas.js"
import { randomSeed } from "./seeds.js"

const MOST = 9 // pictures on a side of the map
const CORNERS = ["Top left", "Top right", "Bottom left", "Bottom right"]
const ALL = [0, 1, 2, 3] // of them
const STEP = 0.02

export class Plane {
  place = { x: 0.5, y: 0.5 }

  /** @type {Keys} */
  keys = {
    r: ["Four other corners", () => this.#corners(ALL)],
    d: ["Download the map", () => this.exports.download()],
    Enter: ["Open the picture", () => this.#open()],
  }

  /** @param {Explorer} app */
  constructor(app) {
    this.app = app
    this.mapLatest = new LatestOnly()
    this.map = canvas()
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
        onpointerup: () => this.#letGo(),
        onpointercancel: () => this.#letGo(),
        onkeydown: (event) => this.#walk(event),
        onkeyup: () => this.walking && this.#keep(),
      },
      this.map,
      this.cursor,
    )
    this.picture = new PictureCanvas(app, { class: "large" })
    this.exports = new ExportPanel(app, { scales: [1, 2, 4] })
    this.across = this.#slider("x")
    this.down = this.#slider("y")
    this.mode = choice(Object.entries(MODE_NAMES), "", (mode) => this.app.change("plane", { mode }))
    this.clear = new ClearButton(() =>
      this.app.change("plane", lookIn({ class: app.state.plane.class })),
    )
    this.classes = new ClassField([["", "Automatic"]], (name) =>
      this.app.change("plane", { class: name }),
    )
    this.root = div("plane-view split", div("stage", this.pad, this.exports.primary), this.#panel())
  }

  #slider(axis) {
    return range(0, 1, STEP, {
      oninput: ({ target }) => this.#move({ [axis]: Number(target.value) }),
      onchange: () => this.#keep(),
    })
  }

  #panel() {
    const all = button("All four", "dice", () => this.#corners(ALL), { keys: "R" })
    const pin = button("Pin", "pin", () => this.#pin(), { keys: "P" })
    const corner = (name, place) =>
      button(name, "dice", () => this.#corners([place]), {
        class: "button small",
        "aria-label": `${name}: another picture`,
      })
    const shown = {
      type: "button",
      class: "frame plain",
      title: "Open this picture (Enter)",
      onclick: () => this.#open(),
    }
    const text = "Four corners, and every picture between them. Drag across the map."
    return div(
      "panel",
      div("heading", h("h1", {}, "Plane"), h("p", {}, text)),
      h("button", shown, this.picture.root),
      field("Across", this.across),
      field("Down", this.down),
      div("pair", field("Way", this.mode), this.classes.root),
      this.clear.root,
      h("p", { class: "name", id: "corners-label" }, "Other corners"),
      h(
        "div",
        { class: "corners", role: "group", "aria-labelledby": "corners-label" },
        CORNERS.map(corner),
      ),
      div(
        "row",
        all,
        pin,
        button("Open", "right", () => this.#open(), { keys: "Enter" }),
      ),
      h("details", { class: "sharing" }, h("summary", {}, "Share the map"), this.exports.root),
    )
  }

  show({ plane }) {
    if (plane.seeds.length !== 4) {
      return this.app.change("plane", { seeds: CORNERS.map(() => randomSeed()) }, { replace: true })
    }
    const { card } = this.app
    if (card !== this.card) {
      this.classes.offer(card.classes)
      this.exports.show(null)
    }
    this.card = card
    this.classes.select.value = plane.class
    this.mode.value = plane.mode
    this.clear.show(plane)
    if (!this.walking && !this.held) this.place = { x: plane.x, y: plane.y }
    this.#drawMap(plane)
    this.#move({})
  }

  #drawMap(plane) {
    const { pictures, side = MOST } = this.card.ranges
    const most = Math.max(1, Math.min(MOST, side, Math.floor(Math.sqrt(pictures))))
    const { seeds, mode } = plane
    const words = { model: this.card.id, seeds: seeds.join(","), columns: most, rows: most, mode }
    const draw = (format, more) => ({
      url: urlOf(`/plane.${format}`, { ...words, ...lookOf(plane), ...more }),
    })
    const width = most * this.card.width
    const name = `${this.card.name}-plane`
    const alt = `A plane between four pictures by ${this.card.name}`
    const subject = { name, alt, page: location.href, width, height: width, draw }
    this.mapLatest.ask(
      () => this.app.api.image(draw("png", {})),
      (image) => {
        paint(this.map, image)
        this.exports.show(subject)
      },
      (error) => this.app.state.view === "plane" && this.app.router.fail(error),
    )
  }

  #pin() {
    const picture = this.current()
    if (picture) this.app.togglePin(picture)
  }

  repaint() {
    this.picture.show(this.#wanted())
    this.exports.show(this.exports.subject)
  }

  /** Returns the picture that is seen. */
  current() {
    return this.picture.picture
  }

  /** Returns the picture at the place. */
  #wanted() {
    const { plane } = this.app.state
    const { seeds, mode } = plane
    const place = { seeds, ...this.place, ...(mode && { mode }) }
    return changed({ model: this.card.id, plane: place }, lookIn(plane))
  }

  #move(words) {
    const inside = (share) => Math.min(1, Math.max(0, Number(share.toFixed(4))))
    const { x, y } = { ...this.place, ...words }
    this.place = { x: inside(x), y: inside(y) }
    this.across.valueAsNumber = this.place.x
    this.down.valueAsNumber = this.place.y
    this.cursor.style.left = `${100 * this.place.x}%`
    this.cursor.style.top = `${100 * this.place.y}%`
    this.picture.show(this.#wanted())
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
    if (!(event.key in steps)) return
    const [right, down] = steps[event.key]
    event.preventDefault()
    this.walking = true
    this.#move({ x: this.place.x + step * right, y: this.place.y + step * down })
  }

  #keep() {
    this.walking = false
    const { plane } = this.app.state
    const { x, y } = this.place
    if (x !== plane.x || y !== plane.y) this.app.change("plane", this.place)
    announce(`${shortNumber(100 * x)} % across, ${shortNumber(100 * y)} % down`)
  }

  #corners(places) {
    const { seeds } = this.app.state.plane
    const others = seeds.map((seed, place) => (places.includes(place) ? randomSeed() : seed))
    this.app.change("plane", { seeds: others })
  }

  #open() {
    this.app.open(this.#wanted())
  }
}
