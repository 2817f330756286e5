/** One key each for what is done often, and the list of them. */

import { h } from "./dom.js"
import { remember, remembered } from "./kept.js"

const SHOWN = { ArrowLeft: "←", ArrowRight: "→", " ": "Space", Enter: "Enter" }
const OFF = "ganserve-no-keys"

export class Keys {
  /** @param {Record<string, [string, (event: KeyboardEvent) => void]>} always keys of every view, and what they do */
  constructor(app, always) {
    this.app = app
    this.always = always
    this.switch = h("input", { type: "checkbox", onchange: () => this.#set(this.switch.checked) })
    this.list = h("div", { class: "key-lists" })
    this.dialog = h(
      "dialog",
      { class: "help", "aria-labelledby": "help-title" },
      h("h2", { id: "help-title" }, "Keys"),
      this.list,
      h("label", { class: "check" }, this.switch, h("span", {}, "Use single keys")),
      h(
        "button",
        { type: "button", class: "button primary", onclick: () => this.dialog.close() },
        "Close",
      ),
    )
    document.body.append(this.dialog)
    this.on = !remembered(OFF)
    addEventListener("keydown", (event) => this.#pressed(event))
  }

  /** Shows the list. */
  help() {
    const rows = (keys) =>
      Object.entries(keys).map(([key, [words]]) =>
        h("div", {}, h("dt", {}, h("kbd", {}, shown(key))), h("dd", {}, words)),
      )
    const walking = { "Tab ← → ↑ ↓": ["Walk, also among pictures and on the plane"] }
    this.list.replaceChildren(
      h("section", {}, h("h3", {}, "Here"), h("dl", {}, rows(this.app.view.keys), rows(walking))),
      h("section", {}, h("h3", {}, "Everywhere"), h("dl", {}, rows(this.always))),
    )
    this.switch.checked = this.on
    this.dialog.showModal()
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
    const found = this.app.view.keys[name] ?? this.always[name]
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

function shown(key) {
  return (
    SHOWN[key] ??
    key
      .split("+")
      .map((part) => (part.length === 1 ? part.toUpperCase() : part))
      .join(" + ")
  )
}
