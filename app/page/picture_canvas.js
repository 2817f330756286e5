/**
 * A canvas that shows one picture: of many asked for, the latest.
 *
 * A large one shows it at once as the generator makes it, and as the upscaler does when it rests:
 * whoever drags a slider waits for no upscaler.
 */

import { canvas, paint, toast } from "./dom.js"
import { LatestOnly } from "./latest_only.js"
import { describe, drawing } from "./picture.js"
import { enlargement, scaleShown } from "./pixels.js"

const REST = 150 // milliseconds without another picture

export class PictureCanvas {
  #latest = new LatestOnly()
  #latestLarge = new LatestOnly()
  #wanted = "" // the picture and its pixels
  #enlarged = "" // the same, while the canvas holds what the upscaler has made
  #resting = 0

  /** @param {Explorer} app */
  constructor(app, words = {}) {
    this.app = app
    this.large = words.class === "large"
    this.root = canvas(words)
    /** @type {Picture | null} */
    this.picture = null // that is seen: the one wanted may still be on its way
    /** @type {HTMLCanvasElement[]} */
    this.copies = [] // that show the same, small
  }

  /** Shows none. */
  clear() {
    this.#latest.forget()
    this.#wanted = this.#enlarged = ""
    this.picture = null
    this.root.width = this.root.height = 1
    delete this.root.dataset.shown
  }

  /** Draws a picture, and says by its address and in words which one is shown. */
  show(picture, shown = () => {}, fail = (error) => toast(error.message)) {
    const { api, card, pixels } = this.app
    const request = drawing(picture)
    const name = [pixels, request.url, request.body].join(" ")
    this.#wanted = name
    clearTimeout(this.#resting)
    this.root.setAttribute("aria-busy", "true")
    this.#latest.ask(
      () => api.image(request),
      (image) => {
        if (name !== this.#enlarged) this.#paint(image)
        for (const copy of this.copies) paint(copy, image)
        this.picture = picture
        this.root.dataset.shown = request.url
        this.root.setAttribute("role", "img") // which wants a label
        this.root.setAttribute("aria-label", describe(picture))
        if (name === this.#wanted) this.root.removeAttribute("aria-busy")
        shown()
        if (this.large && pixels === "learned" && this.#lacks(name))
          this.#resting = setTimeout(() => this.#enlarge(picture, card, name), REST)
      },
      (error) => {
        if (name === this.#wanted) this.root.removeAttribute("aria-busy")
        fail(error)
      },
    )
  }

  /** Tells whether a picture is the one to show, and not enlarged yet. */
  #lacks(name) {
    return name === this.#wanted && name !== this.#enlarged
  }

  #paint(image, enlarged = "", url = "") {
    paint(this.root, image)
    this.#enlarged = enlarged
    this.root.dataset.enlarged = url
  }

  /** Draws a picture about as large as the canvas is, if the upscaler makes it larger. */
  #enlarge(picture, card, name) {
    const { api } = this.app
    const scale = scaleShown(card, this.root.clientWidth * devicePixelRatio)
    if (scale === 1) return
    const request = drawing(picture, enlargement("learned", scale, card))
    this.#latestLarge.ask(
      // too large to be kept as small ones are; the browser has the file
      async () => (this.#lacks(name) ? createImageBitmap(await api.blob(request)) : null),
      (image) => image && this.#lacks(name) && this.#paint(image, name, request.url),
      (error) => this.#lacks(name) && toast(error.message),
    )
  }
}
