/** A path through pinned pictures, played as a film. */

import { ClassField, offerSizes } from "./controls.js"
import { button, choice, div, field, h, icon, range, title, toast } from "./dom.js"
import { save } from "./files.js"
import { FilmPlayer } from "./film_player.js"
import {
  allChanged,
  common,
  frameCount,
  interpolationDrawing,
  MODE_NAMES,
} from "./interpolation.js"
import { changed, plainPicture } from "./picture.js"
import { PinList } from "./pin_list.js"
import { randomSeed } from "./seeds.js"

const FILMS = { webp: "WebP", apng: "APNG", gif: "GIF", mp4: "MP4" }
const FORMATS = { ...FILMS, png: "PNG strip", zip: "Frames (zip)" }
const EASES = { linear: "Even", "in-out": "Rests at each", in: "Starts slowly", out: "Ends slowly" }
const MODES = { ...MODE_NAMES, spline: "Without a bend" }
const SCALES = [1, 2, 4, 8]
const AS_PINNED = "*" // no class is chosen for all

export class Path {
  /** @type {Keys} */
  keys = {
    " ": ["Play or pause", () => this.film.toggle()],
    r: ["One more, at random", () => this.#add()],
    d: ["Download", () => this.#download()],
  }

  /** @param {Explorer} app */
  constructor(app) {
    this.app = app
    this.film = new FilmPlayer(app.api, () => app.state.path)
    this.pins = new PinList(app, (pins) => this.app.change("path", { pins }))
    this.speed = range(1, 60, 1, {
      oninput: () => (this.speedText.textContent = `${this.speed.value} a second`),
      onchange: () => this.app.change("path", { fps: Number(this.speed.value) }),
    })
    this.speedText = h("output")
    this.ease = choice(Object.entries(EASES), "in-out", (ease) => this.app.change("path", { ease }))
    this.mode = choice(Object.entries(MODES), "", (mode) => this.app.change("path", { mode }))
    const onchange = () => this.app.change("path", { loop: this.loop.checked })
    this.loop = h("input", { type: "checkbox", onchange })
    this.truncation = range(0, 1, 0.05, {
      onchange: () => this.#commitAll({ truncation: Number(this.truncation.value) }),
    })
    this.truncationText = h("output")
    this.classes = new ClassField(
      [
        [AS_PINNED, "As pinned"],
        ["", "Each its own"],
      ],
      (name) => this.#commitAll({ class: name }),
    )
    this.shared = h("p", { class: "detail" })
    this.format = choice(Object.entries(FORMATS), "webp", () => {})
    this.scale = h("select")
    this.saving = button("Download", "down", () => this.#download(), { keys: "D" })
    this.empty = this.#invitation()
    this.full = div("split", this.film.root, this.#panel())
    this.root = h("section", {}, this.empty, this.full)
  }

  #invitation() {
    const four = () =>
      this.app.change("path", { pins: Array.from({ length: 4 }, () => this.#random()) })
    const text = "Open one and press Pin, or begin with four at random."
    return div(
      "empty",
      icon("pin"),
      title("Pin two pictures or more"),
      h("p", {}, `${text} The way between becomes a film.`),
      button("Four at random", "dice", four, { class: "button primary" }),
    )
  }

  #panel() {
    const more = button("One more", "dice", () => this.#add(), { keys: "R" })
    const none = button("Unpin all", null, () => this.app.change("path", { pins: [] }))
    const loop = h("span", {}, "Loop: lead back to the first")
    const size = field("Size", this.scale)
    return div(
      "panel",
      div("heading", title("Path"), this.shared),
      this.pins.root,
      div("row", more, none),
      field("Speed", this.speed, this.speedText),
      div("pair", field("Ease", this.ease), field("Way", this.mode)),
      this.classes.root,
      field("Truncation", this.truncation, this.truncationText),
      h("label", { class: "check" }, this.loop, loop),
      h(
        "fieldset",
        { class: "export" },
        h("legend", {}, "Take it away"),
        div("row", field("Format", this.format), size, this.saving),
      ),
    )
  }

  /** @param {State} state */
  show({ path }) {
    const { card } = this.app
    if (card !== this.card) this.#newModel(card)
    this.empty.hidden = path.pins.length >= 2
    this.full.hidden = !this.empty.hidden
    this.#fill(path)
    this.pins.show(path.pins)
    if (this.full.hidden) this.hide()
    else this.film.show(this.#drawing("png", path))
  }

  hide() {
    this.film.hide()
  }

  #newModel(card) {
    this.card = card
    const scale = SCALES.findLast((scale) => scale * card.width <= 256) ?? 1
    offerSizes(this.scale, SCALES, card.width, scale)
    this.classes.offer(card.classes)
    this.classes.select.options[0].hidden = true
  }

  #fill({ pins, fps, ease, mode, loop }) {
    this.speed.value = fps
    this.speedText.textContent = `${fps} a second`
    this.ease.value = ease
    this.mode.value = mode
    this.loop.checked = loop
    const truncation = common(pins, "truncation")
    this.truncation.value = truncation || 1
    this.truncationText.textContent = truncation === undefined ? "as pinned" : truncation || "1"
    this.classes.select.value = common(pins, "class") ?? AS_PINNED
    const edit = common(pins, "edit")
    const edited = edit ? `, all edited: ${edit}` : ""
    const others = edit === undefined ? ", edited as pinned" : edited
    this.shared.textContent = `Through ${pins.length} pictures${others}.`
  }

  #drawing(format, { pins, loop, mode, ease }, more = {}) {
    const { ranges, width: side } = this.app.card
    const frames = frameCount({ pins: pins.length, loop, most: ranges.frames, side })
    return interpolationDrawing(pins, format, { frames, mode, ease, loop, ...more })
  }

  #add() {
    const { pins } = this.app.state.path
    if (pins.length >= this.card.ranges.seeds_of_a_path)
      return toast("A path has no more pins on this host.")
    this.app.change("path", { pins: [...pins, this.#random()] })
  }

  /** Returns a picture that looks as the pins do, where they all look the same. */
  #random() {
    const { pins } = this.app.state.path
    const [{ class: class_, truncation, edit } = {}] = pins
    const picture = plainPicture(this.app.card.id, randomSeed())
    const alike = ["class", "truncation", "edit"].every((word) => common(pins, word) !== undefined)
    return alike ? changed(picture, { class: class_, truncation, edit }) : picture
  }

  #commitAll(words) {
    this.app.change("path", { pins: allChanged(this.app.state.path.pins, words) })
  }

  async #download() {
    const { path } = this.app.state
    const [option] = this.format.selectedOptions
    const format = option.value
    if (path.pins.length < 2) return
    this.saving.disabled = true
    const words = { fps: path.fps, scale: Number(this.scale.value) }
    try {
      const name = `${this.card.name}-path.${format}`
      save(await this.app.api.blob(this.#drawing(format, path, words)), name)
      toast(`Saved: ${name}`)
    } catch (error) {
      if (error.status === 501) option.disabled = true
      toast(error.message)
    }
    this.saving.disabled = false
  }
}
