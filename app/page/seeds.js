/**
 * Seeds: whole numbers below 2^63, more than a JavaScript number holds, so here they are text.
 */

export const SEED_LIMIT = 2n ** 63n
const RANDOM_SEEDS = 2 ** 32 // a random seed is below: it is short to read
const LONGEST_TEXT = 256
const LOOKS_LIKE_A_NUMBER = /^[\s\p{Nd}+\-_.,]*$/u
const CONTROL = /[\p{Cc}\p{Cs}\ufffd]/u

/** Returns the seed that a text spells in digits, in its shortest form; null if it spells none. */
export function wholeNumber(text) {
  if (!/^[0-9]{1,19}$/.test(text)) return null
  const number = BigInt(text)
  return number < SEED_LIMIT ? String(number) : null
}

/** Returns what is wrong with a text that is to be a seed; empty where nothing is. */
export function seedProblem(text) {
  if (wholeNumber(text) !== null) return ""
  if (text === "") return "Type a number, or any text such as a name."
  if (LOOKS_LIKE_A_NUMBER.test(text)) return `Numbers are whole, from 0 to ${SEED_LIMIT - 1n}.`
  if ([...text].length > LONGEST_TEXT) return `A text has up to ${LONGEST_TEXT} characters.`
  return CONTROL.test(text) ? "A text is without control characters." : ""
}

/** Returns a random seed that has `room` seeds after it. */
export function randomSeed(room = 0) {
  const [number] = crypto.getRandomValues(new Uint32Array(1))
  return String(number % (RANDOM_SEEDS - room))
}

/** Returns the seed so many steps after another, kept within what seeds there are. */
export function seedAfter(seed, steps) {
  const found = BigInt(seed) + BigInt(steps)
  if (found < 0n) return "0"
  return String(found < SEED_LIMIT ? found : SEED_LIMIT - 1n)
}
