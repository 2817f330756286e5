/** How pixels are enlarged: by the generator's upscaler, smoothly, or each as a square. */

/** What is said when they are chosen. @type {Record<string, string>} */
export const PIXELS_TOLD = {
  learned: "Enlarged by the upscaler",
  smooth: "Enlarged smoothly",
  square: "Every pixel a square",
}

/** Returns the kinds of pixels that a generator has. @param {Card | undefined} card */
export function pixelsOf(card) {
  return Object.keys(PIXELS_TOLD).slice(card?.upscaler ? 0 : 1)
}

/** Returns the kind that is wished for, where a generator has it, else the usual one. */
export function pixelsFor(card, wish) {
  const usual = card?.upscaler ? "learned" : "smooth"
  return pixelsOf(card).includes(wish) ? wish : usual
}

/**
 * Returns words for the request of a picture, enlarged: smoothly where the upscaler is wished for
 * and does not have the scale.
 *
 * @param {string} pixels
 * @param {number} scale
 * @param {Pick<Card, "upscaler">} card
 * @returns {Enlargement}
 */
export function enlargement(pixels, scale, { upscaler }) {
  if (scale === 1 || pixels === "square") return { scale }
  if (pixels === "learned" && upscaler?.scales.includes(scale))
    return { scale, resample: "learned", model: upscaler.id }
  return { scale, resample: "lanczos" }
}

/** Says what a size is instead, where the upscaler does not have it; empty where it has. */
export function exceptionOf(pixels, scale, { width, upscaler }) {
  if (pixels !== "learned" || upscaler.scales.includes(scale)) return ""
  const sizes = upscaler.scales.map((scale) => scale * width).join(" and ")
  const instead = scale === 1 ? "as generated" : "smooth"
  return `${scale * width} px is ${instead}: the upscaler has ${sizes}.`
}

/** Returns the least scale up to the upscaler's that is as large as so many pixels, else its last. */
export function scaleShown({ width, upscaler }, pixels) {
  const scales = [1, ...upscaler.scales]
  return scales.find((scale) => scale * width >= pixels) ?? scales[scales.length - 1]
}
