/** A picture in words, and the request that draws it. */

import { wholeNumber } from "./seeds.js"

const LONGEST_Z = 4096
const LONGEST_URL = 6000 // characters of a latent: hosts take heads of 16 KiB
const MOST_PARTS = 32
export const MODEL = /^[a-z0-9][a-z0-9_-]{0,63}@[0-9a-f]{12}$/
const UPSCALED = /(@[0-9a-f]{12})-[0-9a-f]{12}$/ // the hash of an upscaler after the generator's
export const PLANE_MODES = ["lerp", "slerp"]

/** Returns the generator of what may name an upscaler with it. */
export function generatorOf(model) {
  return typeof model === "string" ? model.replace(UPSCALED, "$1") : model
}

/** Returns a picture of a seed, with nothing done to it. @returns {Picture} */
export function plainPicture(model, seed, class_ = "", text = "") {
  /** @type {Picture} */
  const picture = { model, seed, truncation: 1, edit: {} }
  if (class_) picture.class = class_
  if (text && text !== seed) picture.text = text
  return picture
}

/** Returns how a picture looks. @param {Partial<Look>} look @returns {Look} */
export function lookIn({ class: class_ = "", truncation = 1, edit = {} } = {}) {
  return { class: class_, truncation, edit }
}

/** Returns a picture with other words; what is empty goes. @param {Partial<Picture>} words */
export function changed(picture, words) {
  /** @type {Picture} */
  const found = { ...picture, ...words }
  if (!found.class) delete found.class
  found.edit = Object.fromEntries(Object.entries(found.edit).filter(([, step]) => step !== 0))
  return found
}

/** Returns a text by which pictures are told apart. @param {Picture} picture */
export function keyOf({ model, seed, plane, mix, z, class: class_, truncation, edit }) {
  return JSON.stringify([model, seed, plane, mix, z, class_ || null, truncation, editText(edit)])
}

/** Returns edits as the service writes them: d0:1.5,d3:-2. @param {Record<string, number>} edit */
export function editText(edit) {
  return Object.entries(edit)
    .filter(([, step]) => step !== 0)
    .sort(([a], [b]) => Number(a.slice(1)) - Number(b.slice(1)))
    .map(([name, step]) => `${name}:${shortNumber(step, 6)}`)
    .join(",")
}

/** Returns edits from their text; what is none is left out. */
export function readEdits(text) {
  /** @type {Record<string, number>} */
  const found = {}
  for (const part of (text ?? "").split(",")) {
    const match = /^(d[0-9]{1,2}):(-?[0-9]{1,3}(?:\.[0-9]{1,6})?)$/.exec(part)
    if (match && Number(match[2]) !== 0) found[match[1]] = Number(match[2])
  }
  return found
}

/** Returns a number with so many digits after the point at most, and no exponent. */
export function shortNumber(value, digits = 9) {
  return value
    .toFixed(digits)
    .replace(/\.?0+$/, "")
    .replace(/^-0$/, "0")
}

/** Returns a URL; parameters that are empty are left out. */
export function urlOf(path, parameters) {
  const pairs = Object.entries(parameters)
    .filter(([, value]) => value !== undefined && value !== "" && value !== null)
    .map(
      ([name, value]) =>
        `${name}=${encodeURIComponent(value).replace(/%(3A|2C|40)/g, decodeURIComponent)}`,
    )
  return pairs.length ? `${path}?${pairs.join("&")}` : path
}

/** Returns a look for a query string, where it says something. @param {Partial<Look>} look */
export function lookOf(look) {
  const { class: class_, truncation, edit } = lookIn(look)
  return {
    class: class_,
    truncation: truncation === 1 ? undefined : shortNumber(truncation),
    edit: editText(edit),
  }
}

/** Returns a mix as the service writes it: 3:1,8:-1. @param {[string, number][]} mix */
export function mixText(mix) {
  return mix.map((part) => part.join(":")).join(",")
}

/** Returns a mix from its text; a weight that is left out is 1. @returns {[string, number][]} */
export function readMix(text) {
  return text.split(",").map((part) => {
    const [seed, weight = "1", ...rest] = part.split(":")
    return [seed, weight && !rest.length ? Number(weight) : NaN]
  })
}

/** Tells whether a URL alone says all of a picture. @param {Picture} picture */
export function hasUrl(picture) {
  return !picture.z || picture.z.join(",").length <= LONGEST_URL
}

/**
 * Returns the request that draws a picture, as a file of a format, perhaps enlarged.
 *
 * @param {Picture} picture
 * @param {{format?: string, named?: boolean} & Partial<Enlargement>} words `named`: by the text
 *   that was typed for its seed, where there is one
 * @returns {Drawing}
 */
export function drawing(picture, words = {}) {
  const { format = "png", scale = 1, resample, model = picture.model, named = false } = words
  const { plane, mix, z } = picture
  const seed = named ? (picture.text ?? picture.seed) : (picture.seed ?? picture.text)
  const look = lookOf(picture)
  const size = { scale: scale === 1 ? undefined : scale, resample }
  const at = (path, source) => ({
    url: urlOf(`${path}.${format}`, { model, ...source, ...look, ...size }),
  })
  if (plane) return at("/plane", planeWords(plane))
  if (!hasUrl(picture)) {
    const body = { model, recipes: [recipeOf(picture)], format: format === "jpg" ? "jpeg" : format }
    return { url: "/generate", body: bodyText({ ...body, ...size }) }
  }
  if (mix) return at("/generate", { mix: mixText(mix) })
  if (z) return at("/generate", { z: z.join(",") })
  const changes = look.class || look.truncation || look.edit
  const permanent = seed === picture.seed && !changes && resample !== "lanczos"
  if (!permanent) return at("/generate", { seed })
  const enlarged = scale === 1 ? "" : `@${scale}x${resample ? "~learned" : ""}`
  return { url: `/i/${model}/${seed}${enlarged}.${format}` }
}

/** @param {Place} place */
function planeWords({ seeds, x, y, mode }) {
  const place = { x: shortNumber(x), y: shortNumber(y), size: 0, columns: 1, rows: 1 }
  return { seeds: seeds.join(","), mode, ...place }
}

/** Returns the request that draws pictures as one sheet. @param {Picture[]} pictures */
export function sheetDrawing(pictures, columns) {
  const recipes = pictures.map(recipeOf)
  return {
    url: "/generate",
    body: bodyText({ model: pictures[0].model, recipes, columns, format: "png" }),
  }
}

/** Returns a picture as a recipe of a POST. @param {Picture} picture */
export function recipeOf(picture) {
  const { class: class_, truncation, edit } = lookOf(picture)
  return {
    ...sourceOf(picture),
    class: class_ || undefined,
    truncation: truncation && Number(truncation),
    edit: edit || undefined,
  }
}

/** @param {Picture} picture */
function sourceOf({ seed, text, plane, mix, z }) {
  if (mix) return { mix: mixText(mix) }
  if (z) return { z }
  if (!plane) return seed === undefined ? { name: text } : { seed }
  const [x, y] = [plane.x, plane.y].map((share) => Number(shortNumber(share)))
  return { plane: { ...plane, x, y } }
}

/** Returns JSON in which seeds are numbers, however long. */
export function bodyText(body) {
  // a quotation mark inside a text is escaped, so this finds members alone
  return JSON.stringify(body)
    .replace(/"seed":"([0-9]+)"/g, '"seed":$1')
    .replace(/"seeds":\[["0-9,]+\]/g, (list) => list.replace(/"([0-9]+)"/g, "$1"))
}

/** Returns what a picture is, for people. @param {Picture} picture */
export function titleOf(picture) {
  const { seed, text, plane, mix, z } = picture
  if (mix) return mix.map(([seed, weight], place) => term(seed, weight, place)).join(" ")
  if (plane) {
    const percent = (share) => `${Math.round(100 * share)} %`
    return `${percent(plane.x)} across, ${percent(plane.y)} down`
  }
  if (z) return "A found picture"
  return text ?? `Seed ${seed}`
}

function term(seed, weight, place) {
  const size = Math.abs(weight) === 1 ? "" : `${shortNumber(Math.abs(weight))} × `
  const sign = weight < 0 ? "− " : place ? "+ " : ""
  return `${sign}${size}${seed}`
}

/** Returns the same, with what was done to it: for alt texts. @param {Picture} picture */
export function describe(picture) {
  const parts = [titleOf(picture), picture.class, lookText(picture)]
  return parts.filter(Boolean).join(", ")
}

/** Returns what is done to a picture, for people; empty if nothing. @param {Partial<Look>} look */
export function lookText(look) {
  const { truncation, edit } = lookOf(look)
  const parts = [truncation && `variety ${truncation}`, edit && `edited: ${edit}`]
  return parts.filter(Boolean).join(", ")
}

/** Returns a picture out of what may be one; null where it is none. @returns {Picture | null} */
export function checkedPicture(found) {
  if (typeof found !== "object" || found === null) return null
  const { model, class: class_ } = found
  if (typeof model !== "string" || !MODEL.test(model)) return null
  const truncation = Number(found.truncation ?? 1)
  const source = checkedSource(found)
  if (source === null || !isShare(truncation)) return null
  const edit = typeof found.edit === "object" ? editText(numbers(found.edit)) : String(found.edit)
  const name = typeof class_ === "string" && class_ ? { class: class_.slice(0, 64) } : {}
  return { model, truncation, edit: readEdits(edit), ...name, ...source }
}

/** Returns where a picture lies, from what may say so; null where it does not. */
function checkedSource({ seed, text, plane, mix, z }) {
  if (isSeed(seed)) {
    const typed = typeof text === "string" && text ? { text: text.slice(0, 256) } : {}
    return { seed: String(seed), ...typed }
  }
  if (Array.isArray(plane?.seeds)) return checkedPlane(plane)
  const parts = typeof mix === "string" ? readMix(mix) : mix
  if (isList(parts, MOST_PARTS)) return checkedMix(parts)
  return isList(z, LONGEST_Z) && z.every((value) => isWithin(value, 10)) ? { z } : null
}

function checkedPlane({ seeds, x, y, mode }) {
  if (seeds.length !== 4 || !seeds.every(isSeed) || !isShare(x) || !isShare(y)) return null
  if (mode && !PLANE_MODES.includes(mode)) return null
  return { plane: { seeds: seeds.map(String), x, y, ...(mode ? { mode } : {}) } }
}

function checkedMix(parts) {
  const good = (part) => Array.isArray(part) && isSeed(part[0]) && isWithin(part[1], 10)
  return parts.every(good) ? { mix: parts.map(([seed, weight]) => [String(seed), weight]) } : null
}

function numbers(edit) {
  return Object.fromEntries(Object.entries(edit ?? {}).filter(([, step]) => isWithin(step, 100)))
}

function isList(value, most) {
  return Array.isArray(value) && value.length > 0 && value.length <= most
}

function isSeed(value) {
  const whole = typeof value === "string" || Number.isSafeInteger(value)
  return whole && wholeNumber(String(value)) !== null
}

function isShare(value) {
  return typeof value === "number" && value >= 0 && value <= 1
}

function isWithin(value, bound) {
  return typeof value === "number" && Math.abs(value) <= bound
}
