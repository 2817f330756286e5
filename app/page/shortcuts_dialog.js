/** The list of keys. */

import { h } from "./dom.js"

const SHOWN = { ArrowLeft: "←", ArrowRight: "→", " ": "Space", Enter: "Enter" }
const WALKING = { "Tab ← → ↑ ↓": ["Walk, also among pictures and on the plane"] }

/**
 * Shows it in a dialog.
 *
 * @param {Keys} here keys of the view
 * @param {Keys} always those of every view
 * @param {boolean} on whether single keys are listened to
 * @param {(on: boolean) => void} setOn
 */
export function showKeys(here, always, on, setOn) {
  const wish = h("input", { type: "checkbox", checked: on, onchange: () => setOn(wish.checked) })
  const close = h("button", { type: "button", class: "button primary" }, "Close")
  const dialog = h(
    "dialog",
    { "aria-labelledby": "help-title", onclose: () => dialog.remove() },
    h("h2", { id: "help-title" }, "Keys"),
    h(
      "div",
      { class: "key-lists" },
      section("Here", { ...here, ...WALKING }),
      section("Everywhere", always),
    ),
    h("label", { class: "check" }, wish, h("span", {}, "Use single keys")),
    close,
  )
  close.onclick = () => dialog.close()
  document.body.append(dialog)
  dialog.showModal()
}

function section(title, keys) {
  const rows = Object.entries(keys).map(([key, [words]]) =>
    h("div", {}, h("dt", {}, h("kbd", {}, shown(key))), h("dd", {}, words)),
  )
  return h("section", {}, h("h3", {}, title), h("dl", {}, rows))
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
