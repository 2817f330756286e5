/** One key each for what is done often. */

import { remember, remembered } from "./kept.js"

const OFF = "ganserve-no-keys"

export class Keys {
  /** @param {Record<string, [string, (event: KeyboardEvent) => void]>} always keys of every view, and what they do */
  constructor(app, always) {
    this.app = app
    this.always = always
    this.on = !remembered(OFF)
    addEventListener("keydown", (event) => this.#pressed(event))
  }

  /** Shows the list of them. */
  async help() {
    const keys = this.app.view?.keys ?? {}
    const found = await import("./help.js").catch(() => null)
    if (!found) return this.app.say("The list of keys did not arrive.")
    if (document.querySelector("dialog[open]")) return
    found.showKeys(keys, this.always, this.on, (on) => this.#set(on))
  }

  #set(on) {
    this.on = on
    remember(OFF, !on)
  }

  #pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return
    if (document.querySelector("dialog[open]") || takesKeys(event.target, event.key)) return
    if (!this.on && event.key !== "?" && event.key.length === 1) return
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key
    const name = event.shiftKey && key === "z" ? "Shift+Z" : key
    const found = this.app.view?.keys[name] ?? this.always[name]
    if (!found) return
    event.preventDefault()
    found[1](event)
  }
}

/** Whether an element has a use of its own for a key. */
function takesKeys(element, key) {
  if (element.closest("select, textarea, [contenteditable]")) return true
  const input = element.closest("input")
  if (input && input.type === "range") return key.startsWith("Arrow")
  if (input && input.type !== "checkbox") return true
  return (key === " " || key === "Enter") && element.closest("button, a, input, summary") !== null
}
