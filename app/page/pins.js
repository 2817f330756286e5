/**
 * The pins of a path: whole pictures, as text in an address.
 *
 *     3,8~kitten~t0.7~d0:1.5,3:1_8:-1_5:1
 *
 * Commas part the pins, tildes their words: where it lies in latent space, then what is done to it.
 */

import { checkedPicture, editText, mixText, readMix, shortNumber } from "./picture.js"
import { wholeNumber } from "./seeds.js"

/** Returns a picture as one pin of an address. @param {Picture} picture */
export function pinText(picture) {
  const { truncation } = picture
  const words = [sourceText(picture)]
  if (picture.class) words.push(classText(picture.class))
  if (truncation !== 1) words.push(`t${shortNumber(truncation)}`)
  return [...words, ...editText(picture.edit).split(",").filter(Boolean)].join("~")
}

/** @param {Picture} picture */
function sourceText({ seed, plane, mix, z }) {
  if (mix) return mixText(mix).replaceAll(",", "_")
  if (z) return `z${z.join("_")}`
  if (plane) return `at${placeWords(plane).join("_")}`
  return seed
}

/** Returns corners, how far across and down, and the mode if any. @param {Place} place */
export function placeWords({ seeds, x, y, mode }) {
  return [...seeds, shortNumber(x), shortNumber(y), ...(mode ? [mode] : [])]
}

/** Returns the place that such words name, unchecked. @param {string[]} words */
export function placeOf(words) {
  const [x, y, mode] = words.slice(4)
  return { seeds: words.slice(0, 4), x: Number(x), y: Number(y), mode }
}

/** Returns a class, with an equals sign in front if it looks like another word. */
function classText(name) {
  const text = name.replace(/[%,~]/g, (sign) => `%${sign.charCodeAt(0).toString(16)}`)
  return /^(=|t[0-9]|d[0-9])/.test(text) ? `=${text}` : text
}

function classOf(word) {
  return word.replace(/^=/, "").replace(/%(25|2c|7e)/g, decodeURIComponent)
}

/** Returns the picture of a pin, or null. @param {any} base what the pin does not say itself */
export function pinOf(text, base) {
  const [source, ...words] = text.split("~")
  /** @type {Record<string, any>} */
  const found = { ...base, ...sourceOf(source) }
  const edits = words.filter((word) => /^d[0-9]+:/.test(word))
  if (edits.length) found.edit = edits.join(",")
  for (const word of words) {
    if (/^t[0-9]/.test(word)) found.truncation = word.slice(1)
    else if (!edits.includes(word)) found.class = classOf(word)
  }
  return checkedPicture(found)
}

function sourceOf(text) {
  const parts = text.replace(/^(at|z)/, "").split("_")
  if (text.startsWith("at")) return { plane: placeOf(parts) }
  if (text.startsWith("z")) return { z: parts.map(Number) }
  if (text.includes(":")) return { mix: readMix(parts.join(",")) }
  return { seed: wholeNumber(text) }
}
