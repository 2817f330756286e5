/** Pictures like another: the same place in latent space, some steps along several directions. */

import { changed } from "./picture.js"

export const VARIATIONS = 8
const REACH = 0.45 // of the way that a direction has

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

/** Returns a number from -1 to 1, spread evenly over places, turns and directions. */
function share(turn, place, number) {
  const spread = 0.754877666 * (place + VARIATIONS * turn) + 0.569840291 * number + 0.37
  return 2 * (spread % 1) - 1 // additive recurrence: no two neighbours are near each other
}
