/** Files that are saved and read, and texts that are copied. */

import { h } from "./dom.js"

/** Saves a file under a name. @param {Blob} blob @param {string} name */
export function save(blob, name) {
  const url = URL.createObjectURL(blob)
  h("a", { href: url, download: name }).click()
  setTimeout(() => URL.revokeObjectURL(url), 10_000)
}

/** Copies a text, also where the browser trusts the page with no clipboard. @param {string} text */
export async function copyText(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text)
  const area = h("textarea", { value: text, class: "unseen" })
  document.body.append(area)
  area.select()
  const done = document.execCommand("copy")
  area.remove()
  if (!done) throw new Error("This browser does not let the page copy.")
}

/** Returns a hidden field that reads a file when it is chosen. */
export function filePicker(accept, read) {
  const input = h("input", { type: "file", accept, hidden: true })
  input.addEventListener("change", () => {
    const [file] = input.files ?? []
    input.value = ""
    if (file) read(file)
  })
  return input
}
