/** Makes what the page shows fit a generator: what it cannot draw is left out. */

import { changed, lookIn, shortNumber } from "./picture.js"

/**
 * @param {State} state
 * @param {Served} generator
 * @returns {{fitting: Partial<State>, left: string[]}} words of the state as they fit, and what is
 *   left out of the view shown
 */
export function fitted(state, generator) {
  const { view, path, mix, names, picture } = state
  /** @type {Record<string, string[]>} */
  const left = { grid: [], plane: [], path: [], mix: [], focus: [], names: [] }
  const known = (part) => ({ ...state[part], ...knownLook(state[part], generator, left[part]) })
  const found = picture && fittedPicture(picture, generator, left.focus)
  if (picture && !found) left.focus.push("the picture")
  const fitting = {
    view: view === "focus" && !found ? "grid" : view,
    grid: known("grid"),
    plane: known("plane"),
    path: view === "path" ? fittedPath(path, generator, left.path) : path,
    mix: { ...mix, class: known("mix").class },
    names: { ...names, class: known("names").class },
    picture: found,
  }
  return { fitting, left: [...new Set(left[view] ?? [])] }
}

function fittedPath(path, generator, left) {
  const pins = path.pins.flatMap((pin) => fittedPicture(pin, generator, left) ?? [])
  const lost = path.pins.length - pins.length
  if (lost) left.push(`${lost} of ${path.pins.length} pins`)
  return { ...path, pins }
}

/** Returns a picture without what a generator does not have; null if it cannot be drawn. */
function fittedPicture(picture, generator, left) {
  const { card } = generator
  const found = changed(picture, { model: card.id, ...knownLook(picture, generator, left) })
  if (!found.z) return found
  const drawn = found.z.length === card.z_dim && (found.class || card.classes.length === 0)
  return drawn ? found : null // a latent has no class by itself
}

/** Returns of a look what a generator has; `left` takes what it does not have. */
function knownLook(look, { card, directions }, left) {
  const { class: class_, truncation, edit } = lookIn(look)
  const [low, high] = card.ranges.edit
  const ids = directions.map(({ id }) => id)
  const steps = Object.entries(edit).filter(([id, step]) => {
    const has = ids.includes(id) && step >= low && step <= high
    if (!has) left.push(`${id}:${shortNumber(step)}`)
    return has
  })
  const { classes } = card
  const numbered = /^[0-9]+$/.test(class_) ? classes[Number(class_)] : undefined
  const known = classes.includes(class_) ? class_ : (numbered ?? "")
  if (class_ && !known) left.push(class_)
  return { class: known, truncation, edit: Object.fromEntries(steps) }
}
