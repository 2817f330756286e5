/** Plays a strip of frames as a film. */

import { all, button, canvas, contextOf, div, range, relabel, wantsStillness } from "./dom.js"
import { placeInFilm } from "./interpolation.js"
import { LatestOnly } from "./latest_only.js"

export class FilmPlayer {
  #latest = new LatestOnly()
  #name = "" // of the drawing whose film is shown, or on its way
  /** @type {ImageBitmap | null} */
  #strip = null
  #frames = 0
  #position = 0 // in frames
  #tick = 0 // that draws the next frame; 0 while nothing plays
  #paused = wantsStillness() // by the visitor: then no other film begins by itself

  /** @param {Api} api @param {() => {loop: boolean, fps: number}} settings */
  constructor(api, settings) {
    this.api = api
    this.settings = settings
    this.shown = () => {}
    /** @type {(error: Error) => void} */
    this.fail = () => {}
    this.canvas = canvas({ class: "large", role: "img", "aria-label": "The film" })
    this.play = button("Play", "play", () => this.toggle(), { keys: "Space" })
    this.scrub = range(0, 1, "any", { "aria-label": "Place in the film" })
    this.scrub.addEventListener("input", () => this.#seek(this.scrub.valueAsNumber))
    this.root = div("stage", div("frame", this.canvas), div("row player", this.play, this.scrub))
  }

  /**
   * Shows the film of a drawing; one that is there already goes on.
   *
   * @param {Drawing} drawing
   * @param {() => void} shown told as soon as it is seen
   * @param {(error: Error) => void} fail told if it does not come
   */
  show(drawing, shown, fail) {
    this.shown = shown
    this.fail = fail
    const name = drawing.url + (drawing.body ?? "")
    if (name !== this.#name) return this.#load(drawing, name)
    if (!this.root.hasAttribute("aria-busy")) shown()
    if (!this.#paused) this.#start()
  }

  hide() {
    this.#stop()
    if (!this.root.hasAttribute("aria-busy")) return
    this.#latest.forget() // or it would play where it is not seen
    this.#unloaded()
  }

  toggle() {
    this.#paused = this.#tick !== 0
    if (this.#paused) this.#stop()
    else this.#start()
  }

  #load(drawing, name) {
    this.#name = name
    this.#stop()
    this.root.setAttribute("aria-busy", "true")
    this.#latest.ask(
      () => this.api.image(drawing),
      (strip) => this.#loaded(strip),
      (error) => {
        this.#unloaded()
        this.#strip = null // it is of other pins
        this.canvas.width = this.canvas.height = 1
        this.fail(error)
      },
    )
  }

  #loaded(strip) {
    const { canvas, scrub } = this
    this.root.removeAttribute("aria-busy")
    this.#strip = strip
    this.#frames = strip.width / strip.height
    scrub.max = String(this.settings().loop ? this.#frames : this.#frames - 1)
    this.#position = Math.min(this.#position, this.#frames - 1)
    canvas.width = canvas.height = strip.height
    canvas.dataset.frames = String(this.#frames)
    this.#paint()
    this.shown()
    if (!this.#paused) this.#start()
  }

  /** Knows no film, so that the next is asked for. */
  #unloaded() {
    this.root.removeAttribute("aria-busy")
    this.#name = ""
  }

  #place() {
    return placeInFilm(this.#position, this.#frames, this.settings().loop)
  }

  #paint() {
    if (!this.#strip) return
    const { frame, next, blend } = this.#place()
    const side = this.#strip.height
    const context = contextOf(this.canvas)
    for (const [one, opacity] of [
      [frame, 1],
      [next, blend],
    ]) {
      context.globalAlpha = opacity
      context.drawImage(this.#strip, one * side, 0, side, side, 0, 0, side, side)
    }
    context.globalAlpha = 1
    this.canvas.dataset.frame = String(frame)
    this.scrub.valueAsNumber = this.#position % (this.settings().loop ? this.#frames : Infinity)
  }

  #start() {
    if (!this.#strip || this.#tick) return
    if (this.#place().ended) this.#position = 0
    let before = performance.now()
    const step = (now) => {
      this.#position += ((now - before) / 1000) * this.settings().fps
      before = now
      this.#tick = requestAnimationFrame(step)
      this.#paint()
      if (this.#place().ended) this.#stop()
    }
    this.#tick = requestAnimationFrame(step)
    this.#label("Pause", "pause")
  }

  #stop() {
    cancelAnimationFrame(this.#tick)
    this.#tick = 0
    this.#label("Play", "play")
  }

  #label(text, drawing) {
    relabel(this.play, text)
    for (const use of all(this.play, "use")) use.setAttribute("href", `#${drawing}`)
  }

  #seek(position) {
    this.#stop()
    this.#paused = true
    this.#position = position
    this.#paint()
  }
}
