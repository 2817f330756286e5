/** What is done to every picture of a view, and a way to be without it. */

import { button } from "./dom.js"
import { lookText } from "./picture.js"

export class Look {
  /** @param {() => void} clear takes it away */
  constructor(clear) {
    this.root = button("", "close", clear, { class: "button small look", hidden: true })
  }

  /** @param {{truncation: number, edit: Record<string, number>}} look hidden where it is plain */
  show(look) {
    const text = lookText(look)
    this.root.hidden = text === ""
    this.root.ariaLabel = this.root.title = `Without ${text}`
    this.root.querySelector("span").textContent = text
  }
}
