/** The path through pinned pictures: what they share, the request that draws it, and its frames. */

import { bodyText, changed, lookOf, recipeOf, urlOf } from "./picture.js"

export const MODE_NAMES = { "": "Automatic", lerp: "Straight", slerp: "Spherical" }
const FRAMES_A_STEP = 24
const WIDEST_STRIP = 8192 // pixels

/** Returns a word of the look that all pictures share; undefined where they differ. */
export function common(pins, word) {
  const texts = new Set(pins.map((pin) => lookOf(pin)[word] ?? ""))
  return texts.size === 1 ? [...texts][0] : undefined
}

/** Returns the pins with other words; a latent keeps its class, as it has none by itself. */
export function allChanged(pins, words) {
  return pins.map((pin) => {
    const { class: class_ } = pin
    return changed(pin, pin.z && words.class === "" ? { ...words, class: class_ } : words)
  })
}

/** Returns the entries of a list with one moved to another place. */
export function moved(list, from, to) {
  const found = [...list]
  const [entry] = found.splice(from, 1)
  found.splice(Math.max(0, Math.min(to, found.length)), 0, entry)
  return found
}

/**
 * Returns the request that draws a path: by URL where seeds and one look say all, else by recipes.
 *
 * @param {Picture[]} pins
 * @param {Record<string, any>} words frames, mode, loop and so on
 */
export function interpolationDrawing(pins, format, words) {
  const [first] = pins
  const { model } = first
  const alike = Object.keys(lookOf(first)).every((word) => common(pins, word) !== undefined)
  if (alike && pins.every(({ seed }) => seed !== undefined)) {
    const seeds = pins.map(({ seed }) => seed).join(",")
    return { url: urlOf(`/interpolate.${format}`, { model, seeds, ...words, ...lookOf(first) }) }
  }
  const recipes = pins.map(recipeOf)
  const file = { mode: words.mode || undefined, format: format === "png" ? "strip" : format }
  return { url: "/interpolate", body: bodyText({ model, recipes, ...words, ...file }) }
}

/** Returns how many frames a path has: so many a step, as far as the host and a strip allow. */
export function frameCount({ pins, loop, most, side }) {
  const steps = pins - (loop ? 0 : 1)
  const wanted = FRAMES_A_STEP * steps + (loop ? 0 : 1)
  return Math.max(pins, Math.min(wanted, most, Math.floor(WIDEST_STRIP / side)))
}

/**
 * Returns the two frames that a film shows, and how much of the second shows through the first.
 *
 * @param {number} position in frames, from 0; without end in a loop
 * @param {boolean} loop whether the last frame leads back to the first
 */
export function placeInFilm(position, frames, loop) {
  if (!loop && position >= frames - 1) {
    return { frame: frames - 1, next: frames - 1, blend: 0, ended: true }
  }
  const whole = Math.floor(position)
  const frame = ((whole % frames) + frames) % frames
  return { frame, next: (frame + 1) % frames, blend: position - whole, ended: false }
}
