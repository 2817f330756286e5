/** Asks for what only somebody who looks can know. */

import { button, h } from "./dom.js"

/** Asks for an API key. @returns {Promise<string>} empty if there is none to be had */
export function askKey() {
  return new Promise((resolve) => {
    const input = h("input", { type: "password", autocomplete: "off", required: true })
    const close = (key) => {
      dialog.close()
      dialog.remove()
      resolve(key)
    }
    const dialog = h(
      "dialog",
      { "aria-labelledby": "key-title", oncancel: () => close("") },
      h(
        "form",
        { onsubmit: (event) => (event.preventDefault(), close(input.value.trim())) },
        h("h2", { id: "key-title" }, "This host wants an API key"),
        h("p", {}, "It is kept until you close this tab."),
        h("label", { class: "field" }, h("span", { class: "name" }, "Key"), input),
        h(
          "div",
          { class: "row" },
          h("button", { class: "button primary" }, "Use it"),
          button("Cancel", null, () => close("")),
        ),
      ),
    )
    document.body.append(dialog)
    dialog.showModal()
  })
}
