/** The way through pinned pictures: what they share, and the request that draws it. */

import { bodyText, changed, lookOf, recipeOf, urlOf } from "./picture.js"

export const PLANE_WAYS = [
  ["", "As suits it"],
  ["lerp", "Straight"],
  ["slerp", "Along the arc"],
]

/** A word of the look that all pictures share; undefined where they differ. */
export function common(pins, word) {
  const texts = new Set(pins.map((pin) => lookOf(pin)[word] ?? ""))
  return texts.size === 1 ? [...texts][0] : undefined
}

/** The pins with other words; a latent keeps its class, as it has none by itself. */
export function allChanged(pins, words) {
  return pins.map((pin) => {
    const { class: class_ } = pin
    return changed(pin, pin.z && words.class === "" ? { ...words, class: class_ } : words)
  })
}

/**
 * The request that draws a way: by its URL where seeds and one look say all, else by recipes.
 *
 * @param {import("./picture.js").Picture[]} pins
 * @param {Record<string, any>} words frames, mode, loop and so on
 */
export function wayDrawing(pins, format, words) {
  const [first] = pins
  const { model } = first
  const alike = Object.keys(lookOf(first)).every((word) => common(pins, word) !== undefined)
  if (alike && pins.every(({ seed }) => seed !== undefined)) {
    const seeds = pins.map(({ seed }) => seed).join(",")
    return { url: urlOf(`/interpolate.${format}`, { model, seeds, ...words, ...lookOf(first) }) }
  }
  const recipes = pins.map(recipeOf)
  const body = { model, recipes, ...words, format: format === "png" ? "strip" : format }
  if (!words.mode) delete body.mode
  return { url: "/interpolate", body: bodyText(body) }
}
