/** Where a film is after so many seconds. */

/**
 * @param {number} position in frames, from 0; of a loop it may go on for ever
 * @param {number} frames
 * @param {boolean} loop whether the last frame leads back to the first
 * @returns {{frame: number, next: number, blend: number, ended: boolean}} two frames, and how much
 *   of the second shows through the first
 */
export function placeInFilm(position, frames, loop) {
  if (!loop && position >= frames - 1) {
    return { frame: frames - 1, next: frames - 1, blend: 0, ended: true }
  }
  const whole = Math.floor(position)
  const frame = ((whole % frames) + frames) % frames
  return { frame, next: (frame + 1) % frames, blend: position - whole, ended: false }
}

/** How many frames a way is drawn in: so many a step, as far as the host and a strip allow. */
export function frameCount({ pins, loop, most, side, aStep = 24, widest = 8192 }) {
  const steps = pins - (loop ? 0 : 1)
  const wanted = aStep * steps + (loop ? 0 : 1)
  return Math.max(pins, Math.min(wanted, most, Math.floor(widest / side)))
}

/** The entries of a list with one moved to another place. */
export function moved(list, from, to) {
  const found = [...list]
  const [entry] = found.splice(from, 1)
  found.splice(Math.max(0, Math.min(to, found.length)), 0, entry)
  return found
}
