/** The search for the latent whose picture is nearest to a given one; the host does it. */

import { button, canvas, contextOf, div, h, paint, sign, toast } from "./dom.js"
import { drawing, shortNumber } from "./picture.js"

/** @type {[number, string][]} */
const NEARNESS = [
  [10, "hardly to be told apart"],
  [25, "very near"],
  [50, "alike"],
  [256, "far off"],
]
const SENT = 256 // pixels a side: more than any generator here wants to see

export class Search {
  /** @param {Explorer} app */
  constructor(app) {
    this.app = app
    this.bar = h("progress", { max: 1, value: 0, "aria-label": "Progress of the search" })
    this.line = h("p", { class: "detail" })
    this.canvas = canvas({ class: "given", role: "img", "aria-label": "The nearest so far" })
    this.given = h("div")
    const primary = { class: "button primary" }
    this.open = button("Open it", "right", () => this.picture && app.open(this.picture), primary)
    this.stop = button("Stop", null, () => this.leave())
    this.root = h(
      "div",
      { class: "search", hidden: true },
      h("h2", {}, "Nearest picture"),
      div("sum", this.given, sign("≈"), this.canvas),
      this.bar,
      this.line,
      div("row", this.open, this.stop),
    )
  }

  /** Sends what is in the middle of a picture, and shows what is found as it is found. */
  async begin(image) {
    const given = middleOf(image)
    this.root.hidden = false
    this.given.replaceChildren(given)
    this.picture = null
    this.open.disabled = true
    this.stop.hidden = false
    this.line.textContent = "Sent to the host, which begins to look."
    this.bar.value = 0
    this.aborter = new AbortController()
    const { signal } = this.aborter
    try {
      const file = await new Promise((resolve) => given.toBlob(resolve))
      for await (const report of this.#reports(file, signal)) await this.#show(report)
      if (this.picture) this.line.textContent += " Done."
    } catch (error) {
      if (error.name !== "AbortError") toast(error.message)
    }
    if (signal === this.aborter.signal) this.stop.hidden = true
  }

  /** Ends the search. */
  leave() {
    this.aborter?.abort()
    this.root.hidden = true
  }

  async *#reports(file, signal) {
    const { api, card } = this.app
    const headers = { "Content-Type": "application/octet-stream" }
    const url = `/project?model=${card.id}`
    const { body } = await api.answer({ url, body: file }, { signal, headers })
    if (!body) return
    const reader = body.pipeThrough(new TextDecoderStream()).getReader()
    for (let rest = ""; ;) {
      const { done, value } = await reader.read()
      if (done) return
      const lines = (rest + value).split("\n")
      rest = lines.pop() ?? ""
      for (const line of lines) if (line) yield JSON.parse(line)
    }
  }

  async #show({ step, steps, error, z, class: class_ }) {
    const short = z.map((value) => Number(shortNumber(value, 4))) // its address is to be short
    this.picture = { model: this.app.card.id, z: short, truncation: 1, edit: {} }
    if (class_) this.picture.class = class_
    this.bar.value = step / steps
    this.line.textContent = `Step ${step} of ${steps}: ${nearness(error)}.`
    this.open.disabled = false
    paint(this.canvas, await this.app.api.image(drawing(this.picture)))
    this.canvas.dataset.step = step
  }
}

/** Says how near a picture is. @param {number} error in levels of 255 */
function nearness(error) {
  const [, words] = NEARNESS.find(([most]) => error <= most) ?? []
  return `${words} (${Math.round((100 * error) / 255)} % off)`
}

/** Returns the centre square of a picture on a canvas: no more than that leaves the browser. */
function middleOf(image) {
  const side = Math.min(image.width, image.height)
  const [x, y] = [(image.width - side) / 2, (image.height - side) / 2]
  const sent = Math.min(side, SENT)
  const words = { class: "given", role: "img", "aria-label": "The picture you gave" }
  const given = canvas({ ...words, width: sent, height: sent })
  const context = contextOf(given)
  context.imageSmoothingQuality = "high"
  context.drawImage(image, x, y, side, side, 0, 0, sent, sent)
  return given
}
