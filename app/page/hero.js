/** What the page is, in one sentence; a field, the picture of what is typed, and its line of HTML. */

import { seedInput } from "./controls.js"
import { attempt, button, canvas, div, h, paint, toast } from "./dom.js"
import { imageTag, originOf } from "./html.js"
import { LatestOnly } from "./latest_only.js"
import { urlOf } from "./picture.js"
import { enlargement } from "./pixels.js"
import { seedProblem } from "./seeds.js"

const EXAMPLE = "ada"
const SIZES = [128, 64, 32] // pixels a side
const EMBEDDED = 64

export class Hero {
  #latest = new LatestOnly()

  /** @param {Explorer} app */
  constructor(app) {
    this.app = app
    this.words = { model: "", class: "" }
    this.input = seedInput({
      class: "seed",
      placeholder: EXAMPLE,
      "aria-label": "Name: any text or number",
      "aria-describedby": "seed-problem",
      enterKeyHint: "go",
      oninput: () => this.#typed(),
    })
    this.line = h("p")
    this.problem = h("p", { class: "problem", id: "seed-problem", hidden: true })
    this.sizes = SIZES.map((size) => canvas({ class: `s${size}` }))
    this.code = h("code")
    const copy = button("Copy", "copy", () => this.#copy(), { class: "button small" })
    copy.setAttribute("aria-label", "Copy the line of HTML")
    this.shown = h("div", { class: "sizes", role: "img", "aria-busy": "true" }, this.sizes)
    const html = div("line", this.code, copy)
    this.root = div(
      "hero",
      div(
        "says",
        h("h1", { "data-start": true, tabIndex: -1 }, "A neural network invented these."),
        this.line,
        h(
          "form",
          { class: "ask", onsubmit: (event) => this.#ask(event) },
          this.input,
          h("button", { class: "button primary" }, "Open it"),
        ),
        this.problem,
      ),
      div("made", this.shown, html),
    )
  }

  /** Says what has been learnt, and shows the picture of the name that is typed. */
  show({ card }, class_) {
    const { images, data } = card.training
    const learnt = images ? `A GAN has looked at ${images.toLocaleString("en")} pictures of ` : ""
    this.line.replaceChildren(
      `${learnt && `${learnt}${data}, and draws new ones. `}Type a name: every name is one ` +
        "picture, free to use as an avatar, that never changes. ",
      h("a", { href: "./?view=models" }, "Licence"),
    )
    const model = card.id === this.app.generators.first ? "" : card.name
    const shown = `${card.id} ${class_}`
    if (shown === this.what) return
    this.what = shown
    this.words = { model, class: class_ } // without a hash: the shortest line that does it
    this.#typed()
  }

  /** Returns what is typed, or the example. */
  get name() {
    return this.input.value.trim() || EXAMPLE
  }

  #typed() {
    const { name } = this
    const { card, api } = this.app
    const problem = seedProblem(name)
    this.#tell(problem)
    if (problem || !card) return
    const scale = Math.max(1, Math.min(16, Math.ceil(SIZES[0] / card.width)))
    const { model = card.id, ...size } = enlargement("learned", scale, card)
    const words = { model, seed: name, class: this.words.class, ...size }
    this.#latest.ask(
      () => api.image({ url: urlOf("/generate", words) }),
      (image) => this.#show(name, image),
      (error) => toast(error.message),
    )
  }

  #show(name, image) {
    for (const size of this.sizes) paint(size, image)
    this.shown.removeAttribute("aria-busy")
    this.shown.setAttribute("aria-label", `The picture of ${name} in three sizes`)
    this.shown.dataset.name = name
    const url = urlOf("/generate", { seed: name, ...this.words })
    this.code.textContent = imageTag(originOf(location), { url, alt: name, side: EMBEDDED })
  }

  async #copy() {
    await attempt(async () => {
      const { copyText } = await this.app.api.part("files")
      await copyText(this.code.textContent)
      toast("Copied: one line of HTML")
    })
  }

  #tell(problem) {
    this.problem.textContent = problem
    this.problem.hidden = problem === ""
    this.input.setAttribute("aria-invalid", String(problem !== ""))
  }

  async #ask(event) {
    event.preventDefault()
    const { name, app } = this
    const problem = seedProblem(name)
    this.#tell(problem)
    if (problem) return this.input.focus()
    await attempt(async () => app.open(await app.pictureOf(name, app.state.grid.class)))
  }
}
