/** Asks for an API key. */

import { button, div, field, h, showDialog } from "./dom.js"

/** @returns {Promise<string>} the key; empty if there is none to be had */
export function askKey() {
  return new Promise((resolve) => {
    const input = h("input", { type: "password", autocomplete: "off", required: true })
    let key = ""
    const use = (event) => {
      event.preventDefault()
      key = input.value.trim()
      dialog.close()
    }
    const form = h(
      "form",
      { onsubmit: use },
      h("h2", { id: "key-title" }, "This host wants an API key"),
      h("p", {}, "It is kept until you close this tab."),
      field("Key", input),
      div(
        "row",
        h("button", { class: "button primary" }, "Use it"),
        button("Cancel", null, () => dialog.close()),
      ),
    )
    const dialog = showDialog({ "aria-labelledby": "key-title" }, form)
    dialog.addEventListener("close", () => resolve(key))
  })
}
