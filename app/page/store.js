/** What the page shows: one state, its address, and its place in the browser's history. */

import { toast } from "./dom.js"
import { addressOf, stateOf } from "./state.js"
import { session } from "./storage.js"

const NEWEST = "ganserve-last" // the place in the history of what came last

export class Store {
  #address = "" // as it was written
  #place = history.state?.index ?? 0 // in the history

  /** @param {() => unknown} onChange shows the state */
  constructor(onChange) {
    this.onChange = onChange
    /** @type {State} */
    this.state = history.state?.shown ?? stateOf(location.search)
    addEventListener("popstate", ({ state: entry }) => {
      this.#place = entry?.index ?? this.#place
      this.state = entry?.shown ?? stateOf(location.search, this.state)
      this.#address = entry ? addressOf(this.state) : ""
      this.onChange()
    })
  }

  /** Shows a state that differs by some words; Back leads to the one before if none replaces it. */
  commit(words, { replace = false } = {}) {
    this.state = { ...this.state, ...words }
    if (!replace) this.#place += 1
    this.#write(replace)
    return this.onChange()
  }

  /** Writes the address anew where the state has been made to fit its generator. */
  keep() {
    if (addressOf(this.state) !== this.#address) this.#write(true)
  }

  undo() {
    if (this.#place > 0) history.back()
    else toast("Nothing to undo")
  }

  redo() {
    if (this.#place < Number(session.getItem(NEWEST))) history.forward()
    else toast("Nothing to redo")
  }

  #write(replace) {
    const entry = { shown: this.state, index: this.#place }
    this.#address = addressOf(this.state)
    if (replace) history.replaceState(entry, "", `.${this.#address}`)
    else history.pushState(entry, "", `.${this.#address}`)
    if (!replace) session.setItem(NEWEST, String(this.#place))
  }
}
