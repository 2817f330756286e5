/** A path through pinned pictures, played as a film. */

import { ClassField } from "./controls.js"
import { button, choice, div, field, h, range, title, toast } from "./dom.js"
import { ExportPanel } from "./export_panel.js"
import { FilmPlayer } from "./film_player.js"
import {
  allChanged,
  common,
  frameCount,
  interpolationDrawing,
  MODE_NAMES,
} from "./interpolation.js"
import { changed, keyOf, plainPicture } from "./picture.js"
import { PinList } from "./pin_list.js"
import { randomSeed, seedAfter } from "./seeds.js"
import { drawEach, Tiles } from "./tiles.js"

const FILMS = { webp: "WebP", apng: "APNG", gif: "GIF", mp4: "MP4" }
const EASES = { linear: "Even", "in-out": "Pause at each", in: "Starts slowly", out: "Ends slowly" }
const MODES = { ...MODE_NAMES, spline: "Smooth curve" }
const SCALES = [1, 2, 4, 8]
const OFFERED = 48
const AS_PINNED = "*" // no class is chosen for all

export class Path {
  /** @type {Keys} */
  keys = {
    " ": ["Play or pause", () => this.film.toggle()],
    r: ["One more, at random", () => this.#add()],
    d: ["Download", () => this.exports.download()],
    c: ["Copy the link", () => this.exports.copy("link")],
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
        ["", "Automatic"],
      ],
      (name) => this.#commitAll({ class: name }),
    )
    this.shared = h("p", { class: "detail" })
    this.exports = new ExportPanel(app)
    this.offered = new Tiles("Pictures to pin", (picture) => app.togglePin(picture))
    this.acts = div("acts-place")
    this.film.root.append(this.acts)
    this.sharing = div("")
    this.empty = this.#invitation()
    this.full = div("split path-view", this.film.root, this.#panel())
    this.root = h("section", {}, this.empty, this.full)
  }

  #invitation() {
    const four = () =>
      this.app.change("path", { pins: Array.from({ length: 4 }, () => this.#random()) })
    const text = "Choose two or more: the way between them becomes a film."
    const random = button("Four at random", "dice", four, { class: "button primary" })
    const heading = div("heading", title("Pin two pictures or more"), h("p", {}, text))
    this.offered.root.classList.add("picking")
    return div("stacked", div("row between", heading, random), this.offered.root)
  }

  #panel() {
    const more = button("One more", "dice", () => this.#add(), { keys: "R" })
    const none = button("Unpin all", null, () => this.app.change("path", { pins: [] }))
    const loop = h("span", {}, "Loop: lead back to the first")
    return div(
      "panel",
      div("heading", title("Path"), this.shared),
      this.pins.root,
      div("row", more, none),
      field("Speed", this.speed, this.speedText),
      div("pair", field("Ease", this.ease), field("Way", this.mode)),
      this.classes.root,
      field("Variety", this.truncation, this.truncationText),
      h("label", { class: "check" }, this.loop, loop),
      this.sharing,
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
    if (this.full.hidden) {
      this.hide()
      return this.#offer()
    }
    this.film.show(
      this.#drawing("png", path),
      () => this.exports.show(this.#subject(path)),
      (error) => this.app.router.fail(error),
    )
  }

  /** Offers pictures to begin with: favourites, what was seen lately, and others. */
  async #offer() {
    const { app } = this
    this.marks()
    if (this.offering === app.card.id) return
    this.offering = app.card.id
    const own = [...app.state.path.pins, ...app.favourites.pictures, ...app.seen.pictures]
    const here = own.filter(({ model }) => model === app.card.id)
    const seed = randomSeed(OFFERED)
    const others = Array.from({ length: OFFERED }, (_, step) =>
      plainPicture(app.card.id, seedAfter(seed, step)),
    )
    const each = new Map([...here, ...others].map((picture) => [keyOf(picture), picture]))
    const most = Math.min(OFFERED, app.card.ranges.pictures)
    await drawEach(this.offered, [...each.values()].slice(0, most), app.api)
    this.marks()
  }

  /** Marks what is pinned of what is offered. */
  marks() {
    this.offered.mark((picture) => this.app.isPinned(picture))
  }

  /** @returns {Subject} */
  #subject(path) {
    const { card } = this
    return {
      name: `${card.name}-path`,
      alt: `A film through ${path.pins.length} pictures by ${card.name}`,
      page: location.href,
      width: card.width,
      height: card.width,
      tags: ["webp", "apng", "gif"],
      draw: (format, words) => this.#drawing(format, path, { fps: path.fps, ...words }),
    }
  }

  hide() {
    this.film.hide()
  }

  repaint() {
    this.exports.show(this.exports.subject)
  }

  #newModel(card) {
    const { app } = this
    this.card = card
    const made = Object.entries(FILMS).filter(([name]) => card.films.includes(name))
    const formats = { ...Object.fromEntries(made), png: "PNG strip", zip: "Frames (zip)" }
    this.exports = new ExportPanel(app, { formats, first: "webp", scales: SCALES })
    this.acts.replaceChildren(this.exports.primary)
    this.sharing.replaceChildren(this.exports.root)
    this.exports.show(null)
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
}
