/** Asks for an API key. */

import { button, field, h } from "./dom.js"

/** @returns {Promise<string>} the key; empty if there is none to be had */
export function askKey() {
  return new Promise((resolve) => {
    const input = h("input", { type: "password", autocomplete: "off", required: true })
    const close = (key) => {
      dialog.close()
      dialog.remove()
      resolve(key)
    }
    const use = (event) => {
      event.preventDefault()
      close(input.value.trim())
    }
    const form = h(
      "form",
      { onsubmit: use },
      h("h2", { id: "key-title" }, "This host wants an API key"),
      h("p", {}, "It is kept until you close this tab."),
      field("Key", input),
      h(
        "div",
        { class: "row" },
        h("button", { class: "button primary" }, "Use it"),
        button("Cancel", null, () => close("")),
      ),
    )
    const words = { "aria-labelledby": "key-title", oncancel: () => close("") }
    const dialog = h("dialog", words, form)
    document.body.append(dialog)
    dialog.showModal()
  })
}
