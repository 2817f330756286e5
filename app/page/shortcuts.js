/** One key each for what is done often. */

import { attempt, toast } from "./dom.js"
import { pixelsOf } from "./pixels.js"
import { remember, remembered } from "./storage.js"
import { pointedPicture } from "./tiles.js"
import { NAVIGATION, titleOfView } from "./views.js"

const OFF = "ganserve-no-keys"

export class Shortcuts {
  #on = !remembered(OFF)

  /** @param {Explorer} app */
  constructor(app) {
    this.app = app
    addEventListener("keydown", (event) => this.#press(event))
  }

  /** Shows the list of them. */
  async list() {
    const here = this.#here()
    await attempt(async () => {
      const { showKeys } = await this.app.api.part("shortcuts_dialog")
      if (document.querySelector("dialog[open]")) return
      showKeys(here, this.#everywhere(), this.#on, (on) => {
        this.#on = on
        remember(OFF, !on)
      })
    })
  }

  /** Returns keys of the view that is shown. @returns {Keys} */
  #here() {
    return this.app.router.view?.keys ?? {}
  }

  /** Returns keys of every view. @returns {Keys} */
  #everywhere() {
    const { app } = this
    const key = (view, place) => [place + 1, [titleOfView(view), () => app.go(view)]]
    return {
      ...Object.fromEntries(NAVIGATION.map(key)),
      x: [`Pixels: ${pixelsOf(app.card).join(", ")}`, () => app.otherPixels()],
      f: ["Favourite", () => this.#withPicture((picture) => app.toggleFavourite(picture))],
      p: ["Pin to the path", () => this.#withPicture((picture) => app.togglePin(picture))],
      z: ["Undo", () => app.store.undo()],
      "Shift+Z": ["Redo", () => app.store.redo()],
      Escape: ["Back to the pictures", () => app.go("grid")],
      "?": ["This help", () => this.list()],
    }
  }

  /** Does something with the picture shown, or with that of many with focus or pointer. */
  #withPicture(act) {
    const picture = this.app.router.view?.current?.() ?? pointedPicture()
    if (picture) act(picture)
    else toast("Open a picture, or point at one.")
  }

  /** @param {KeyboardEvent} event */
  #press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return
    if (document.querySelector("dialog[open]") || takesKeys(event.target, event.key)) return
    if (!this.#on && event.key !== "?" && event.key.length === 1) return
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key
    const name = event.shiftKey && key === "z" ? "Shift+Z" : key
    const found = this.#here()[name] ?? this.#everywhere()[name]
    if (!found) return
    event.preventDefault()
    found[1](event)
  }
}

/** Tells whether an element has a use of its own for a key. */
function takesKeys(element, key) {
  if (element.closest("select, textarea, [contenteditable]")) return true
  const input = element.closest("input")
  if (input && input.type === "range") return key.startsWith("Arrow")
  if (input && input.type !== "checkbox") return true
  return (key === " " || key === "Enter") && element.closest("button, a, input, summary") !== null
}
