/** What is pinned, seen beside every view: the pictures of the path, played with one press. */

import { button, byId, canvas, div, h, paintSoon } from "./dom.js"
import { drawing, keyOf } from "./picture.js"

const MOST = 6 // pictures that are seen in it

export class Tray {
  /** @param {Explorer} app */
  constructor(app) {
    this.app = app
    this.text = h("span")
    this.pictures = div("thumbs")
    this.play = button("Play", "play", () => app.go("path"), { class: "button primary" })
    const none = button("Unpin all", "close", () => app.change("path", { pins: [] }), {
      shown: false,
    })
    this.root = byId("tray")
    this.root.append(this.pictures, this.text, this.play, none)
  }

  /** @param {State} state */
  show({ view, path: { pins } }) {
    this.root.hidden = pins.length === 0 || view === "path"
    document.documentElement.classList.toggle("has-tray", !this.root.hidden)
    this.text.textContent = pins.length === 1 ? "1 pinned: one more" : `${pins.length} pinned`
    this.play.hidden = pins.length < 2
    const shown = pins.slice(-MOST)
    const names = shown.map(keyOf).join()
    if (names === this.names) return
    this.names = names
    const thumbs = shown.map((picture) => {
      const drawn = canvas()
      paintSoon(drawn, this.app.api.image(drawing(picture)))
      return drawn
    })
    this.pictures.replaceChildren(...thumbs)
  }
}
