/** The help: what the words of the page mean, and the list of keys. */

import { button, div, h, showDialog } from "./dom.js"

const SHOWN = { ArrowLeft: "←", ArrowRight: "→", " ": "Space", Enter: "Enter" }
const WORDS = {
  Seed: "A number that is one picture for ever. A name stands for one as well.",
  Variety: "How far a picture may be from the usual one: 1 is as learnt, 0 is the average.",
  Directions: "What changes pictures most, found in the network itself: drag, and see.",
  Pin: "Keeps a picture for a path. Two make a film: press Play.",
  Find: "Drop a picture from here, and all that made it is restored from the file.",
}
const WALKING = { "Tab ← → ↑ ↓": ["Walk, also among pictures and on the plane"] }

/**
 * Shows it in a dialog.
 *
 * @param {Keys} here keys of the view
 * @param {Keys} everywhere those of every view
 * @param {boolean} on whether single keys are listened to
 * @param {(on: boolean) => void} setOn
 */
export function showKeys(here, everywhere, on, setOn) {
  const wish = h("input", { type: "checkbox", checked: on, onchange: () => setOn(wish.checked) })
  const dialog = showDialog(
    { "aria-labelledby": "help-title" },
    h("h2", { id: "help-title" }, "Help"),
    words(),
    h("h2", {}, "Keys"),
    div("key-lists", section("Here", { ...here, ...WALKING }), section("Everywhere", everywhere)),
    h("label", { class: "check" }, wish, h("span", {}, "Use single keys")),
    button("Close", null, () => dialog.close(), { class: "button primary" }),
  )
}

function words() {
  const row = ([name, text]) => h("div", {}, h("dt", {}, name), h("dd", {}, text))
  return h("dl", {}, Object.entries(WORDS).map(row))
}

function section(title, keys) {
  const rows = Object.entries(keys).map(([key, [words]]) =>
    h("div", {}, h("dt", {}, h("kbd", {}, shown(key))), h("dd", {}, words)),
  )
  return h("section", {}, h("h3", {}, title), h("dl", {}, rows))
}

function shown(key) {
  const parts = key.split("+").map((part) => (part.length === 1 ? part.toUpperCase() : part))
  return SHOWN[key] ?? parts.join(" + ")
}
