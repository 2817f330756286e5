/** Pictures like another: the same place in latent space, some steps along several directions. */

import { changed } from "./picture.js"

export const VARIATIONS = 8
const REACH = 0.45 // of the way that a direction has
const PRIMES = [2, 3, 5, 7, 11, 13, 17, 19]

/**
 * Returns variations of a picture; the same ones for the same turn.
 *
 * @param {Picture} picture
 * @param {{card: Pick<Card, "ranges">, directions: Direction[], turn?: number}} words
 */
export function variations(picture, { card, directions, turn = 0 }) {
  const most = Math.min(card.ranges.edits ?? directions.length, directions.length)
  const own = Object.keys(picture.edit)
  const free = directions.filter(({ id }) => !own.includes(id))
  const usable = [...directions.filter(({ id }) => own.includes(id)), ...free].slice(0, most)
  if (usable.length === 0) return []
  return Array.from({ length: VARIATIONS }, (_, place) => {
    /** @type {Record<string, number>} */
    const edit = { ...picture.edit }
    for (const [number, { id, range }] of usable.entries()) {
      const [low, high] = range
      const step = (edit[id] ?? 0) + REACH * high * share(turn, place, number)
      edit[id] = Number(Math.max(low, Math.min(high, step)).toFixed(high < 1 ? 4 : 2))
    }
    return changed(picture, { edit })
  })
}

/** Returns a number from -1 to 1, spread evenly over places and turns, along each direction. */
function share(turn, place, number) {
  const pace = Math.sqrt(PRIMES[number % PRIMES.length]) // Richtmyer's sequence: none is met twice
  return 2 * (((place + VARIATIONS * turn + 1) * pace) % 1) - 1
}
