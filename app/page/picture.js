/**
 * A picture in words, and the request that draws it.
 *
 * @typedef {object} Picture
 * @property {string} model name@hash of its generator
 * @property {string} [seed] one of seed, plane, mix and z says where in latent space it lies
 * @property {string} [text] what somebody typed for that seed
 * @property {{seeds: string[], x: number, y: number, mode?: string}} [plane]
 * @property {[string, number][]} [mix] seeds and their weights
 * @property {number[]} [z]
 * @property {string} [class]
 * @property {number} truncation
 * @property {Record<string, number>} edit steps by direction: {d0: 1.5}
 *
 * @typedef {object} Drawing a request: GET without a body, else POST
 * @property {string} url
 * @property {string} [body] JSON
 */

import { wholeNumber } from "./seeds.js"

const LONGEST_Z = 4096
const LONGEST_URL = 6000 // characters of a latent: hosts take heads of 16 KiB
const MOST_PARTS = 32
export const NAME = /^[a-z0-9][a-z0-9_-]{0,63}$/
export const MODEL = /^[a-z0-9][a-z0-9_-]{0,63}@[0-9a-f]{12}$/
export const PLANE_MODES = ["lerp", "slerp"]

/** A picture of a seed, with nothing done to it. */
export function plainPicture(model, seed, class_ = "", text = "") {
  const picture = { model, seed, truncation: 1, edit: {} }
  if (class_) picture.class = class_
  if (text && text !== seed) picture.text = text
  return picture
}

/** How a picture looks, beside where it lies. */
export function lookIn({ class: class_ = "", truncation = 1, edit = {} } = {}) {
  return { class: class_, truncation, edit }
}

/** The same picture with other words; what is empty goes. */
export function changed(picture, words) {
  const found = { ...picture, ...words }
  if (!found.class) delete found.class
  found.edit = Object.fromEntries(Object.entries(found.edit).filter(([, step]) => step !== 0))
  return found
}

/** One text a picture: equal pictures, equal keys. */
export function keyOf(picture) {
  const { model, seed, plane, mix, z, truncation } = picture
  return JSON.stringify([
    model,
    seed,
    plane,
    mix,
    z,
    picture.class || null,
    truncation,
    editText(picture.edit),
  ])
}

/** Edits as the service writes them: d0:1.5,d3:-2. */
export function editText(edit) {
  return Object.entries(edit)
    .filter(([, step]) => step !== 0)
    .sort(([a], [b]) => Number(a.slice(1)) - Number(b.slice(1)))
    .map(([name, step]) => `${name}:${shortNumber(step, 6)}`)
    .join(",")
}

/** Edits from their text; what is none is left out. */
export function readEdits(text) {
  const found = {}
  for (const part of (text ?? "").split(",")) {
    const match = /^(d[0-9]{1,2}):(-?[0-9]{1,3}(?:\.[0-9]{1,6})?)$/.exec(part)
    if (match && Number(match[2]) !== 0) found[match[1]] = Number(match[2])
  }
  return found
}

/** A number with so many digits after the point at most, none that says nothing, no exponent. */
export function shortNumber(value, digits = 9) {
  return value
    .toFixed(digits)
    .replace(/\.?0+$/, "")
    .replace(/^-0$/, "0")
}

/** A URL; parameters that are empty are left out. */
export function urlOf(path, parameters) {
  const pairs = Object.entries(parameters)
    .filter(([, value]) => value !== undefined && value !== "" && value !== null)
    .map(([name, value]) => `${name}=${encodeURIComponent(value).replace(/%(3A|2C|40)/g, decoded)}`)
  return pairs.length ? `${path}?${pairs.join("&")}` : path
}

function decoded(code) {
  return decodeURIComponent(code)
}

/** The same for a query string, where it says something. */
export function lookOf(picture) {
  const { class: class_, truncation, edit } = lookIn(picture)
  return {
    class: class_,
    truncation: truncation === 1 ? undefined : shortNumber(truncation),
    edit: editText(edit),
  }
}

/** A mix as the service writes it: 3:1,8:-1. */
export function mixText(mix) {
  return mix.map((part) => part.join(":")).join(",")
}

/** A mix from its text; a weight that is left out is 1. */
export function readMix(text) {
  return text.split(",").map((part) => {
    const [seed, weight = "1", ...rest] = part.split(":")
    return [seed, weight && !rest.length ? Number(weight) : NaN]
  })
}

/** @returns {boolean} whether a URL alone says all of a picture */
export function hasUrl(picture) {
  return !picture.z || picture.z.join(",").length <= LONGEST_URL
}

/**
 * The request that draws a picture, as a file of a format and a scale.
 *
 * @param {Picture} picture
 * @returns {Drawing}
 */
export function drawing(picture, { format = "png", scale = 1 } = {}) {
  const { model, seed, plane, mix, z } = picture
  const look = lookOf(picture)
  const size = scale === 1 ? undefined : scale
  if (plane) {
    const { x, y } = plane
    const place = { x: shortNumber(x), y: shortNumber(y), size: 0, columns: 1, rows: 1 }
    const words = { model, seeds: plane.seeds.join(","), mode: plane.mode, ...place, ...look }
    const parameters = { ...words, scale: size }
    return { url: urlOf(`/plane.${format}`, parameters) }
  }
  if (!hasUrl(picture)) {
    const body = { model, recipes: [recipeOf(picture)], format: format === "jpg" ? "jpeg" : format }
    return { url: "/generate", body: bodyText(scale === 1 ? body : { ...body, scale }) }
  }
  if (mix || z) {
    const source = mix ? { mix: mixText(mix) } : { z: z.join(",") }
    const words = { model, ...source, ...look, scale: size }
    return { url: urlOf(`/generate.${format}`, words) }
  }
  if (!look.class && !look.truncation && !look.edit) {
    return { url: `/i/${model}/${seed}${scale === 1 ? "" : `@${scale}x`}.${format}` }
  }
  return { url: urlOf(`/generate.${format}`, { model, seed, ...look, scale: size }) }
}

/** The request that draws many pictures of one generator as one sheet. */
export function sheetDrawing(pictures, columns) {
  const recipes = pictures.map(recipeOf)
  return {
    url: "/generate",
    body: bodyText({ model: pictures[0].model, recipes, columns, format: "png" }),
  }
}

/** A picture as a recipe of a POST. */
export function recipeOf(picture) {
  const { class: class_, truncation, edit } = lookOf(picture)
  const recipe = sourceOf(picture)
  if (class_) recipe.class = class_
  if (truncation) recipe.truncation = Number(truncation)
  if (edit) recipe.edit = edit
  return recipe
}

function sourceOf({ seed, plane, mix, z }) {
  if (mix) return { mix: mixText(mix) }
  if (z) return { z }
  if (!plane) return { seed }
  const [x, y] = [plane.x, plane.y].map((share) => Number(shortNumber(share)))
  return { plane: { ...plane, x, y } }
}

/** JSON in which seeds are numbers, however long. */
export function bodyText(body) {
  // a quotation mark inside a text is escaped, so this finds members alone
  return JSON.stringify(body)
    .replace(/"seed":"([0-9]+)"/g, '"seed":$1')
    .replace(/"seeds":\[["0-9,]+\]/g, (list) => list.replace(/"([0-9]+)"/g, "$1"))
}

/** What a picture is, for people. */
export function titleOf(picture) {
  const { seed, text, plane, mix } = picture
  if (mix) return mix.map(([seed, weight], place) => term(seed, weight, place)).join(" ")
  if (plane) {
    const percent = (share) => `${Math.round(100 * share)} %`
    return `${percent(plane.x)} across, ${percent(plane.y)} down`
  }
  if (seed === undefined) return "A found picture"
  return text ?? `Seed ${seed}`
}

function term(seed, weight, place) {
  const size = Math.abs(weight) === 1 ? "" : `${shortNumber(Math.abs(weight))} × `
  const sign = weight < 0 ? "− " : place ? "+ " : ""
  return `${sign}${size}${seed}`
}

/** The same, with what was done to it: for alt texts. */
export function describe(picture) {
  const { seed, text } = picture
  const parts = [titleOf(picture), text && `seed ${seed}`, picture.class, lookText(picture)]
  return parts.filter(Boolean).join(", ")
}

/** What is done to a picture, for people; empty where nothing is. */
export function lookText(look) {
  const { truncation, edit } = lookOf(look)
  const parts = [truncation && `truncation ${truncation}`, edit && `edited: ${edit}`]
  return parts.filter(Boolean).join(", ")
}

/** A picture out of what may be one, such as an imported file; null where it is none. */
export function checkedPicture(found) {
  if (typeof found !== "object" || found === null) return null
  const { model, seed, text, plane, z, truncation } = found
  const mix = typeof found.mix === "string" ? readMix(found.mix) : found.mix
  if (typeof model !== "string" || !MODEL.test(model)) return null
  const share = Number(truncation ?? 1)
  if (!(share >= 0 && share <= 1)) return null
  const edit = typeof found.edit === "object" ? editText(numbers(found.edit)) : String(found.edit)
  const picture = { model, truncation: share, edit: readEdits(edit) }
  if (typeof found.class === "string" && found.class) picture.class = found.class.slice(0, 64)
  if (isSeed(seed)) {
    picture.seed = String(seed)
    if (typeof text === "string" && text) picture.text = text.slice(0, 256)
  } else if (plane && Array.isArray(plane.seeds) && plane.seeds.length === 4) {
    const { seeds, x, y, mode } = plane
    if (!seeds.every(isSeed) || !isShare(x) || !isShare(y)) return null
    picture.plane = { seeds: seeds.map(String), x, y }
    if (PLANE_MODES.includes(mode)) picture.plane.mode = mode
    else if (mode) return null
  } else if (Array.isArray(mix) && mix.length > 0 && mix.length <= MOST_PARTS) {
    if (!mix.every((part) => Array.isArray(part) && isSeed(part[0]) && isWithin(part[1], 10))) {
      return null
    }
    picture.mix = mix.map(([seed, weight]) => [String(seed), weight])
  } else if (Array.isArray(z) && z.length > 0 && z.length <= LONGEST_Z) {
    if (!z.every((value) => isWithin(value, 10))) return null
    picture.z = z
  } else return null
  return picture
}

function numbers(edit) {
  return Object.fromEntries(Object.entries(edit ?? {}).filter(([, step]) => isWithin(step, 100)))
}

function isSeed(value) {
  return (
    (typeof value === "string" || Number.isSafeInteger(value)) &&
    wholeNumber(String(value)) !== null
  )
}

function isShare(value) {
  return typeof value === "number" && value >= 0 && value <= 1
}

function isWithin(value, bound) {
  return typeof value === "number" && Math.abs(value) <= bound
}
