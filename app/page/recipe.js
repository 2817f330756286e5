/**
 * Recipes in files: a PNG's text chunk named ganserve, or a property in the XMP of other formats.
 *
 * Nothing in a file is believed: it may be damaged, foreign or hostile.
 */

import { checkedPicture, generatorOf, lookIn } from "./picture.js"
import { wholeNumber } from "./seeds.js"

const PNG = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]
const ZIP = [0x50, 0x4b, 0x03, 0x04]
const KEYWORD = "ganserve\0"
const MOST_CHUNKS = 64
const LONGEST_RECIPE = 12_000
const LONGEST_LIST = 4000 // characters: it becomes an address
const PLACE = { file: "", seed: "", seed_text: "" } // what pictures of one look differ in
export const LARGEST_FILE = 64 * 2 ** 20 // bytes that are looked at
const TEXT_OR_LONG_NUMBER = /"(?:[^"\\]|\\.)*"|(?<![0-9.eE+-])[0-9]{16,}(?![0-9.eE])/g
/** @type {Record<string, string>} */
const ENTITIES = { "&lt;": "<", "&gt;": ">", "&amp;": "&" }

/** Returns the recipe in a file, its seeds as text; null if none. @param {Uint8Array} bytes */
export function readRecipe(bytes) {
  const text = PNG.every((byte, place) => bytes[place] === byte) ? inPng(bytes) : inXmp(bytes)
  return text === null ? null : parsed(text)
}

/** Returns the recipe in a file, also in a zip of frames. @param {Uint8Array} bytes */
export async function recipeIn(bytes) {
  const zipped = ZIP.every((byte, place) => bytes[place] === byte)
  return zipped ? inZip(bytes).catch(() => null) : readRecipe(bytes)
}

/** Returns what a zip's manifest says: its pictures, or the one recipe that all its frames have. */
async function inZip(bytes) {
  const start = lastIndexOf(bytes, "manifest.json") // in the directory at the end
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const entry = start - 46 // what the directory says of it
  if (entry < 0 || view.getUint32(entry, true) !== 0x02014b50) return null
  const size = view.getUint32(entry + 20, true)
  const local = view.getUint32(entry + 42, true)
  const data = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true)
  const stream = new Blob([bytes.slice(data, data + size)]).stream()
  const plain = view.getUint16(entry + 10, true) === 0
  const text = await beginning(
    plain ? stream : stream.pipeThrough(new DecompressionStream("deflate-raw")),
  )
  const entries = [...text.matchAll(/\{"file": [^\n]*\}(?=,?\n)/g)].map(([one]) => parsed(one))
  const [first = null] = entries
  return first && "seed" in first ? { pictures: entries } : first
}

/** Returns as much of a stream as a recipe may take, whatever it grows to. */
async function beginning(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader()
  let text = ""
  while (text.length < 2 * LONGEST_RECIPE) {
    const { done, value } = await reader.read()
    if (done) return text
    text += value
  }
  await reader.cancel()
  return text
}

function lastIndexOf(bytes, text) {
  const wanted = new TextEncoder().encode(text)
  let start = bytes.length
  do start = bytes.lastIndexOf(wanted[0], start - 1)
  while (start > 0 && !wanted.every((byte, place) => bytes[start + place] === byte))
  return start
}

function inPng(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let start = PNG.length
  for (let count = 0; count < MOST_CHUNKS && start + 12 <= bytes.length; count++) {
    const length = view.getUint32(start)
    const end = start + 8 + length
    if (end + 4 > bytes.length) return null
    const name = latin(bytes.subarray(start + 4, start + 8))
    if (name === "IDAT") return null
    if (name === "tEXt" && length <= KEYWORD.length + LONGEST_RECIPE) {
      const text = latin(bytes.subarray(start + 8, end))
      if (text.startsWith(KEYWORD)) {
        const whole = checksum(bytes.subarray(start + 4, end)) === view.getUint32(end)
        return whole ? text.slice(KEYWORD.length) : null
      }
    }
    start = end + 4
  }
  return null
}

function inXmp(bytes) {
  const open = "<ganserve:recipe>"
  const start = indexOf(bytes, open)
  if (start < 0) return null
  const rest = latin(bytes.subarray(start + open.length, start + open.length + 5 * LONGEST_RECIPE))
  const end = rest.indexOf("<")
  return end < 0 ? null : rest.slice(0, end).replace(/&(lt|gt|amp);/g, (name) => ENTITIES[name])
}

function indexOf(bytes, text) {
  const wanted = new TextEncoder().encode(text)
  let start = -1
  do start = bytes.indexOf(wanted[0], start + 1)
  while (start >= 0 && !wanted.every((byte, place) => bytes[start + place] === byte))
  return start
}

function latin(bytes) {
  return new TextDecoder("latin1").decode(bytes)
}

/** Returns the CRC-32 of PNG, section D. */
export function checksum(bytes) {
  let crc = 0xffffffff
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0)
  }
  return (crc ^ 0xffffffff) >>> 0
}

/** Returns JSON, long whole numbers as text: a JavaScript number would lose their last digits. */
export function parsed(text) {
  if (text.length > LONGEST_RECIPE) return null
  const quoted = text.replace(TEXT_OR_LONG_NUMBER, (found) =>
    found.startsWith('"') ? found : `"${found}"`,
  )
  try {
    const recipe = JSON.parse(quoted)
    const plain = typeof recipe === "object" && recipe !== null && !Array.isArray(recipe)
    return plain ? recipe : null
  } catch {
    return null
  }
}

/** Returns what the page shows of a recipe: the view, and what is in it; null if nothing. */
export function viewOf(named) {
  const recipe = { ...named, model: generatorOf(named.model) }
  const { model, seeds, pictures, recipes } = recipe
  const look = { class: recipe.class, truncation: recipe.truncation ?? 1, edit: recipe.edit ?? "" }
  if (Array.isArray(pictures)) return viewOfSeveral(model, pictures)
  if (Array.isArray(recipes)) return viewOfPath(recipe, recipes)
  if (!Array.isArray(seeds)) return viewOfOne(recipe, look)
  const words = seeds.map((seed) => wholeNumber(String(seed)))
  if (words.includes(null)) return null
  if (!("frames" in recipe)) return viewOfPlane(recipe, words, look)
  const stops = words.map((seed) => ({ seed, ...look }))
  return viewOfPath(recipe, stops)
}

/** Returns a list of seeds that look the same, else the first of several pictures. */
function viewOfSeveral(model, pictures) {
  const [first] = pictures
  if (typeof first !== "object" || first === null) return null
  const found = viewOf({ model, ...first })
  if (found?.view !== "focus" || pictures.length === 1) return found
  const looks = new Set(pictures.map((one) => JSON.stringify({ ...one, ...PLACE })))
  const list = pictures.map((one) => wholeNumber(String(one?.seed)))
  const { class: class_ = "", truncation, edit } = first
  const plain = looks.size === 1 && truncation === undefined && edit === undefined
  if (!plain || list.includes(null) || list.join().length > LONGEST_LIST)
    return { ...found, of: `${pictures.length} pictures` }
  return { view: "names", model: found.model, names: { list, class: class_ } }
}

/** @param {Record<string, any>} recipe */
function viewOfPath({ model, mode = "", ease = "linear", loop = false, fps = 20 }, stops) {
  if (stops.length < 2) return null
  const pins = stops.map((stop) => checkedPicture({ model, ...stop }))
  if (pins.includes(null)) return null
  return { view: "path", model, path: { pins, mode, ease, loop, fps } }
}

function viewOfPlane(recipe, seeds, look) {
  const { model, x = 0, y = 0, size = 1, columns = 5, rows = 5, mode = "" } = recipe
  const picture = checkedPicture({ model, ...look, plane: { seeds, x, y, mode } })
  if (picture === null || columns * rows === 1) return picture && { view: "focus", model, picture }
  const middle = { x: x + size / 2, y: y + size / 2 }
  return { view: "plane", model, plane: { seeds, ...middle, mode, ...lookIn(picture) } }
}

function viewOfOne(recipe, look) {
  const { model, seed, mix, z, plane, n, direction } = recipe
  const picture = checkedPicture({ model, seed, mix, z, plane, ...look })
  if (picture === null) return null
  if (n > 1) return { view: "grid", model, grid: { seed: picture.seed, ...lookIn(picture) } }
  const found = { view: "focus", model, picture }
  return direction === undefined ? found : { ...found, of: "strip along a direction" }
}
