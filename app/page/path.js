/** A way through pinned pictures, played as a film. */

import {
  announce,
  button,
  choice,
  field,
  h,
  icon,
  paint,
  save,
  toast,
  wantsStillness,
} from "./dom.js"
import { Latest } from "./latest.js"
import { changed, describe, drawing, keyOf, plainPicture } from "./picture.js"
import { frameCount, moved, placeInFilm } from "./playing.js"
import { randomSeed } from "./seeds.js"
import { allChanged, common, PLANE_WAYS, wayDrawing } from "./way.js"

const FORMATS = [
  ["webp", "WebP"],
  ["apng", "APNG"],
  ["gif", "GIF"],
  ["mp4", "MP4"],
  ["png", "PNG strip"],
  ["zip", "Frames (zip)"],
]
const EASES = [
  ["linear", "Even"],
  ["in-out", "Rests at each"],
  ["in", "Starts slowly"],
  ["out", "Ends slowly"],
]
const WAYS = [...PLANE_WAYS, ["spline", "Without a bend"]]
const SCALES = [1, 2, 4, 8]
const PIN = "application/x-ganserve-pin" // what is dragged, else it may be a file
const AS_PINNED = "*" // no class is chosen for all

export class Path {
  keys = {
    " ": ["Play or pause", () => this.#toggle()],
    r: ["One more, at random", () => this.#add()],
    d: ["Download", () => this.#download()],
  }

  constructor(app) {
    this.app = app
    this.latest = new Latest()
    this.position = 0
    this.paused = wantsStillness() // by whoever looks: then no other film begins by itself
    this.pins = h("ol", { class: "pins", "aria-label": "Pinned pictures, in order" })
    this.canvas = h("canvas", {
      class: "large",
      role: "img",
      "aria-label": "The film",
      width: 1,
      height: 1,
    })
    this.play = button("Play", "play", () => this.#toggle(), {
      keys: "Space",
      class: "button primary",
    })
    this.scrub = h("input", {
      type: "range",
      min: 0,
      max: 1,
      step: "any",
      "aria-label": "Place in the film",
    })
    this.scrub.addEventListener("input", () => this.#seek(Number(this.scrub.value)))
    const commit = (words) => this.#commit(words)
    this.speed = h("input", { type: "range", min: 1, max: 60, step: 1 })
    this.speedText = h("output")
    this.speed.addEventListener(
      "input",
      () => (this.speedText.textContent = `${this.speed.value} a second`),
    )
    this.speed.addEventListener("change", () => commit({ fps: Number(this.speed.value) }))
    this.ease = choice(EASES, "in-out", (ease) => commit({ ease }))
    this.mode = choice(WAYS, "", (mode) => commit({ mode }))
    this.loop = h("input", {
      type: "checkbox",
      onchange: () => commit({ loop: this.loop.checked }),
    })
    this.truncation = h("input", { type: "range", min: 0, max: 1, step: 0.05 })
    this.truncationText = h("output")
    this.truncation.addEventListener("change", () =>
      this.#commitAll({ truncation: Number(this.truncation.value) }),
    )
    this.classField = h("div")
    this.look = h("p", { class: "detail" })
    this.format = choice(FORMATS, "webp", () => {})
    this.scale = h("select")
    this.saving = button("Download", "down", () => this.#download(), { keys: "D" })
    this.empty = h(
      "div",
      { class: "empty" },
      icon("pin"),
      h("h1", { tabIndex: -1, "data-start": true }, "Pin two pictures or more"),
      h(
        "p",
        {},
        "Open one and press Pin, or begin with four at random. The way between becomes a film.",
      ),
      button(
        "Four at random",
        "dice",
        () => this.#commit({ pins: [0, 1, 2, 3].map(() => this.#random()) }),
        {
          class: "button primary",
        },
      ),
    )
    this.film = this.#layout()
    this.root = h("section", { class: "path-view" }, this.empty, this.film)
  }

  #layout() {
    return h(
      "div",
      { class: "film" },
      h(
        "div",
        { class: "stage" },
        h("div", { class: "frame" }, this.canvas),
        h("div", { class: "row player" }, this.play, this.scrub),
      ),
      h(
        "div",
        { class: "panel" },
        h(
          "div",
          { class: "heading" },
          h("h1", { tabIndex: -1, "data-start": true }, "Path"),
          this.look,
        ),
        this.pins,
        h(
          "div",
          { class: "row" },
          button("One more", "dice", () => this.#add(), { keys: "R" }),
          button("Unpin all", null, () => this.#commit({ pins: [] })),
        ),
        field("Speed", this.speed, this.speedText),
        h("div", { class: "pair" }, field("Ease", this.ease), field("Way", this.mode)),
        this.classField,
        field("Truncation", this.truncation, this.truncationText),
        h("label", { class: "check" }, this.loop, h("span", {}, "Loop: lead back to the first")),
        h(
          "fieldset",
          { class: "take" },
          h("legend", {}, "Take it away"),
          h(
            "div",
            { class: "row" },
            field("Format", this.format),
            field("Size", this.scale),
            this.saving,
          ),
        ),
      ),
    )
  }

  show({ path }) {
    const { card } = this.app
    if (card !== this.card) this.#newModel(card)
    this.empty.hidden = path.pins.length >= 2
    this.film.hidden = !this.empty.hidden
    this.#fill(path)
    this.#showPins(path)
    if (path.pins.length < 2) return this.hide()
    const way = this.#drawing("png", path)
    if (way.url + way.body !== this.name) this.#load(way)
    else if (!this.playing && !this.paused) this.#start()
  }

  hide() {
    this.#stop()
    if (!this.film.hasAttribute("aria-busy")) return
    this.latest.forget() // or it would play where nobody sees it
    this.#unloaded()
  }

  /** Knows no film: the next that is shown is asked for. */
  #unloaded() {
    this.film.removeAttribute("aria-busy")
    this.name = ""
  }

  #newModel(card) {
    this.card = card
    this.scale.replaceChildren(
      ...SCALES.map((scale) => h("option", { value: scale }, `${scale * card.width} px`)),
    )
    this.scale.value = SCALES.findLast((scale) => scale * card.width <= 256) ?? 1
    this.classField.replaceChildren()
    this.classes = null
    if (card.classes.length === 0) return
    const options = [
      [AS_PINNED, "As pinned"],
      ["", "Each its own"],
      ...card.classes.map((name) => [name, name]),
    ]
    this.classes = choice(options, "", (name) => this.#commitAll({ class: name }))
    this.classes.options[0].hidden = true
    this.classField.append(field("Class", this.classes))
  }

  #fill(path) {
    this.speed.value = path.fps
    this.speedText.textContent = `${path.fps} a second`
    this.ease.value = path.ease
    this.mode.value = path.mode
    this.loop.checked = path.loop
    const { pins } = path
    const truncation = common(pins, "truncation")
    this.truncation.value = truncation || 1
    this.truncationText.textContent = truncation === undefined ? "as pinned" : truncation || 1
    if (this.classes) this.classes.value = common(pins, "class") ?? AS_PINNED
    const edit = common(pins, "edit")
    const edited = edit ? `, all edited: ${edit}` : ""
    const others = edit === undefined ? ", edited as pinned" : edited
    this.look.textContent = `Through ${pins.length} pictures${others}.`
  }

  #showPins({ pins }) {
    const busy = this.pins.contains(document.activeElement) && document.activeElement.dataset.act
    this.pins.replaceChildren(
      ...pins.map((picture, place) => {
        const canvas = h("canvas", { width: 1, height: 1 })
        this.app.api.image(drawing(picture)).then(
          (image) => paint(canvas, image),
          () => {},
        )
        const name = `${describe(picture)}, place ${place + 1}`
        const act = (label, drawn, to, disabled) =>
          button(`${label} ${name}`, drawn, to, {
            shown: false,
            disabled,
            "data-act": `${label} ${keyOf(picture)}`,
          })
        return h(
          "li",
          {
            draggable: true,
            ondragstart: (event) => event.dataTransfer.setData(PIN, String(place)),
            ondragover: (event) => event.dataTransfer.types.includes(PIN) && event.preventDefault(),
            ondrop: (event) => this.#dropped(event, place),
          },
          h(
            "button",
            {
              type: "button",
              class: "tile",
              "aria-label": `Open ${name}`,
              title: describe(picture),
              onclick: () => this.app.open(picture),
            },
            canvas,
          ),
          h(
            "div",
            { class: "acts" },
            act("Move left", "left", () => this.#move(place, place - 1), place === 0),
            act("Remove", "close", () =>
              this.#commit({ pins: pins.filter((_, other) => other !== place) }),
            ),
            act(
              "Move right",
              "right",
              () => this.#move(place, place + 1),
              place === pins.length - 1,
            ),
          ),
        )
      }),
    )
    const acts = [...this.pins.querySelectorAll("[data-act]:enabled")]
    acts.find(({ dataset }) => dataset.act === busy)?.focus()
  }

  #drawing(format, { pins, loop, mode, ease }, more = {}) {
    const { card } = this.app
    const frames = frameCount({
      pins: pins.length,
      loop,
      most: card.ranges.frames,
      side: card.width,
    })
    return wayDrawing(pins, format, { frames, mode, ease, loop, ...more })
  }

  #load(way) {
    this.name = way.url + way.body
    this.#stop()
    this.film.setAttribute("aria-busy", "true")
    this.latest.ask(
      () => this.app.api.image(way),
      (strip) => {
        this.film.removeAttribute("aria-busy")
        this.strip = strip
        this.frames = strip.width / strip.height
        const { loop } = this.app.state.path
        this.scrub.max = loop ? this.frames : this.frames - 1
        this.position = Math.min(this.position, this.frames - 1)
        this.canvas.width = this.canvas.height = strip.height
        this.canvas.dataset.frames = this.frames
        this.#paint()
        if (!this.paused) this.#start()
      },
      (error) => {
        this.#unloaded()
        this.strip = null // it is of other pins
        this.canvas.width = this.canvas.height = 1
        toast(error.message)
      },
    )
  }

  #paint() {
    const { strip, canvas, frames } = this
    const { frame, next, blend, ended } = placeInFilm(
      this.position,
      frames,
      this.app.state.path.loop,
    )
    const side = strip.height
    const context = canvas.getContext("2d")
    for (const [one, opacity] of [
      [frame, 1],
      [next, blend],
    ]) {
      context.globalAlpha = opacity
      context.drawImage(strip, one * side, 0, side, side, 0, 0, side, side)
    }
    context.globalAlpha = 1
    canvas.dataset.frame = frame
    this.scrub.value = this.position % (this.app.state.path.loop ? frames : Infinity)
    return ended
  }

  #start() {
    if (!this.strip || this.playing) return
    if (placeInFilm(this.position, this.frames, this.app.state.path.loop).ended) this.position = 0
    let before = performance.now()
    const step = (now) => {
      this.position += ((now - before) / 1000) * this.app.state.path.fps
      before = now
      this.playing = requestAnimationFrame(step)
      if (this.#paint()) this.#stop()
    }
    this.playing = requestAnimationFrame(step)
    this.#label("Pause", "pause")
  }

  #stop() {
    cancelAnimationFrame(this.playing)
    this.playing = 0
    this.#label("Play", "play")
  }

  #label(text, drawn) {
    this.play.querySelector("span").textContent = text
    this.play.querySelector("use").setAttribute("href", `#${drawn}`)
  }

  #toggle() {
    this.paused = Boolean(this.playing)
    if (this.paused) this.#stop()
    else this.#start()
  }

  #seek(position) {
    this.#stop()
    this.paused = true
    this.position = position
    if (this.strip) this.#paint()
  }

  #move(from, to) {
    this.#commit({ pins: moved(this.app.state.path.pins, from, to) })
    announce(`Moved to place ${to + 1}`)
  }

  #dropped(event, place) {
    if (!event.dataTransfer.types.includes(PIN)) return
    event.preventDefault()
    this.#move(Number(event.dataTransfer.getData(PIN)), place)
  }

  #add() {
    const { pins } = this.app.state.path
    if (pins.length >= this.card.ranges.seeds_of_a_path)
      return toast("A path has no more pins on this host.")
    this.#commit({ pins: [...pins, this.#random()] })
  }

  /** A picture that looks as the pins do, where they all look the same. */
  #random() {
    const { pins } = this.app.state.path
    const [{ class: class_, truncation, edit } = {}] = pins
    const picture = plainPicture(this.app.card.id, randomSeed())
    const alike = ["class", "truncation", "edit"].every((word) => common(pins, word) !== undefined)
    return alike ? changed(picture, { class: class_, truncation, edit }) : picture
  }

  #commitAll(words) {
    this.#commit({ pins: allChanged(this.app.state.path.pins, words) })
  }

  #commit(words) {
    this.app.commit({ path: { ...this.app.state.path, ...words } })
  }

  async #download() {
    const { path } = this.app.state
    const format = this.format.value
    if (path.pins.length < 2) return
    this.saving.disabled = true
    const words = { fps: path.fps, scale: Number(this.scale.value) }
    try {
      const file = await this.app.api.blob(this.#drawing(format, path, words))
      const name = `${this.card.name}-path.${format}`
      save(file, name)
      toast(`Saved: ${name}`)
    } catch (error) {
      const option = this.format.querySelector(`option[value="${format}"]`)
      if (error.status === 501) option.disabled = true
      toast(error.message)
    }
    this.saving.disabled = false
  }
}
