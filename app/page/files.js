/** What leaves the page: files that are saved, texts that are copied. */

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
