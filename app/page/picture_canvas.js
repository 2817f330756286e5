/** A canvas that shows one picture: of many asked for, the latest. */

import { canvas, paint, toast } from "./dom.js"
import { LatestOnly } from "./latest_only.js"
import { describe, drawing } from "./picture.js"

export class PictureCanvas {
  #latest = new LatestOnly()

  /** @param {Api} api */
  constructor(api, words = {}) {
    this.api = api
    this.root = canvas(words)
  }

  /** Draws a picture, and says by its address and in words which one is shown. */
  show(picture, shown = () => {}, fail = (error) => toast(error.message)) {
    const request = drawing(picture)
    this.#latest.ask(
      () => this.api.image(request),
      (image) => {
        paint(this.root, image)
        this.root.dataset.shown = request.url
        this.root.setAttribute("role", "img") // which wants a label
        this.root.setAttribute("aria-label", describe(picture))
        shown()
      },
      fail,
    )
  }
}
