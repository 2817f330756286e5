/** What can be shared and downloaded, and what can be copied of it, to be pasted elsewhere. */

import { attribute, imageTag } from "./html.js"
import { describe, drawing } from "./picture.js"
import { enlargement } from "./pixels.js"

const SHOWN = 256 // pixels a side, of a picture in another page
const TAGS = ["png", "webp", "avif", "jpg"] // formats that a tag shows
const WIDEST = 1024 // pixels, of a sheet in another page

/** Returns scales that make a picture of so many pixels a side about as large as it is shown. */
function scalesFor(side) {
  const once = Math.max(1, Math.min(16, Math.round(SHOWN / side)))
  return [once, Math.min(16, 2 * once)]
}

/** Returns a picture as what can be shared. @param {Picture} picture @returns {Subject} */
export function ofPicture(picture, side, page = "") {
  return {
    name: fileName(picture),
    alt: describe(picture),
    page,
    width: side,
    height: side,
    draw: (format, words) => drawing(picture, { ...words, format, named: true }),
  }
}

/**
 * Returns what there is to copy, by name.
 *
 * @param {Subject} subject
 * @param {{origin: string, card: Pick<Card, "width" | "upscaler">, pixels: string, format?: string}}
 *   place where the service is, how pixels are enlarged, and the format of the file
 * @returns {Record<string, string>}
 */
export function snippets(subject, { origin, card, pixels, format = "png" }) {
  const { shown, scale, offers, sizes } = embeddingOf(subject, card, pixels)
  const drawn = (scale) => subject.draw(format, enlargement(pixels, scale, card))
  const at = (scale) => origin + drawn(scale).url
  const { url, body } = drawn(scale)
  const name = `${subject.name}.${format}`
  const both = {
    link: subject.page,
    curl: curl(origin + url, body, name),
    python: python(origin + url, body, name),
  }
  if (subject.lines)
    return { ...both, html: subject.lines.map((line) => imageTag(origin, line)).join("\n") }
  if (body || !(subject.tags ?? TAGS).includes(format)) return both
  const alt = attribute(subject.alt)
  const sources = offers.map(([scale, size]) => `${attribute(at(scale))} ${size}`).join(", ")
  const srcset = offers.length > 1 ? ` srcset="${sources}"${sizes}` : ""
  const height = Math.round((shown * subject.height) / subject.width)
  return {
    ...both,
    url: at(scale),
    html:
      `<img src="${attribute(at(scale))}"${srcset} ` +
      `width="${shown}" height="${height}" alt="${alt}">`,
    markdown: `![${subject.alt.replace(/[\\[\]]/g, "\\$&")}](${at(scale)})`,
  }
}

/** @param {Subject} subject */
function embeddingOf({ width, height }, card, pixels) {
  if (width === card.width && height === card.width) return embedding(card, pixels)
  const shown = Math.min(width, WIDEST) // a sheet or a film is as large as it is
  return { shown, scale: 1, offers: [], sizes: "" }
}

/**
 * Returns how large a picture is shown in another page, its scale, and those that a browser has to
 * choose from: the upscaler's by their width, as there may be none of exactly once and twice.
 */
export function embedding({ width, upscaler }, pixels) {
  const [once, twice] = scalesFor(width)
  const shown = once * width
  if (pixels !== "learned") {
    const offers = twice > once ? [once, twice].map((scale, place) => [scale, `${place + 1}x`]) : []
    return { shown, scale: once, offers, sizes: "" }
  }
  const scales = [1, ...upscaler.scales].filter((scale) => scale <= twice)
  const offers = scales.map((scale) => [scale, `${scale * width}w`])
  const scale = scales.findLast((scale) => scale <= once)
  return { shown, scale, offers, sizes: ` sizes="${shown}px"` }
}

/** Returns a file's name, without an extension. @param {Picture} picture */
export function fileName({ model, text, seed, mix, plane }) {
  const word =
    text &&
    text
      .replace(/[^\p{L}\p{N}]+/gu, "-")
      .replace(/^-|-$/g, "")
      .slice(0, 40)
  const rest = word || (seed ?? (mix ? "mix" : plane ? "plane" : "found"))
  return `${model.split("@")[0]}-${rest}`
}

function curl(url, body, name) {
  const data = body ? ` \\\n  -H 'Content-Type: application/json' \\\n  -d ${quoted(body)}` : ""
  return `curl -o ${quoted(name)} ${quoted(url)}${data}`
}

function python(url, body, name) {
  const text = (value) => JSON.stringify(value)
  const request = body
    ? `request = Request(${text(url)}, ${text(body)}.encode(), {"Content-Type": "application/json"})`
    : `request = ${text(url)}`
  return [
    "from pathlib import Path",
    `from urllib.request import ${body ? "Request, " : ""}urlopen`,
    "",
    request,
    `Path(${text(name)}).write_bytes(urlopen(request).read())`,
    "",
  ].join("\n")
}

function quoted(text) {
  return /^[a-z0-9.-]+$/i.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}
