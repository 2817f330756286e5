/** The part of the page from which what is shown is shared, copied and downloaded. */

import { SizeFields } from "./controls.js"
import { attempt, button, choice, div, field, h, toast } from "./dom.js"
import { copyText, save } from "./files.js"
import { originOf } from "./html.js"
import { embedding, snippets } from "./snippets.js"

const FORMATS = { png: "PNG", webp: "WebP", avif: "AVIF", jpg: "JPEG" }
const SCALES = [1, 2, 4, 8, 16]
const TEXTS = {
  link: "Link to this page",
  url: "Picture URL",
  html: "<img> tag",
  markdown: "Markdown",
  curl: "curl",
  python: "Python",
}

export class ExportPanel {
  /** @type {Subject | null} */
  subject = null

  /**
   * @param {Explorer} app
   * @param {{formats?: Record<string, string>, first?: string, scales?: number[]}} words the
   *   formats of its files, that which is chosen at first, and the scales of its sizes
   */
  constructor(app, { formats = FORMATS, first = "png", scales = SCALES } = {}) {
    this.app = app
    this.scales = scales
    this.formats = choice(Object.entries(formats), first, () => this.#offerTexts())
    this.sizes = new SizeFields(app, scales)
    const small = (label, act, words = {}) =>
      h("button", { type: "button", class: "button small", onclick: act, ...words }, label)
    this.texts = Object.entries(TEXTS).map(([name, label]) =>
      small(label, () => this.copy(name), { name }),
    )
    this.picture = small("Picture", () => this.#copyPicture())
    const primary = { keys: "D", class: "button primary" }
    this.saving = button("Download", "down", () => this.download(), primary)
    this.embed = button("Copy HTML", "code", () => this.copy("html"))
    this.primary = this.#acts()
    this.root = h(
      "fieldset",
      { class: "export" },
      h("legend", {}, "Share and download"),
      div("row", field("Format", this.formats), this.sizes.fields),
      this.sizes.exception,
      h("p", { class: "name" }, "Copy"),
      h("div", { class: "row", role: "group", "aria-label": "Copy" }, this.picture, this.texts),
    )
  }

  /** Returns what is done most, to stand where it is seen at once. */
  #acts() {
    const label = navigator.share === undefined ? "Copy link" : "Share"
    return div(
      "row acts",
      this.saving,
      this.embed,
      button(label, "share", () => this.share()),
    )
  }

  /** @param {Subject | null} subject null: there is nothing yet */
  show(subject) {
    this.subject = subject
    this.saving.disabled = this.embed.disabled = subject === null
    const { card, pixels } = this.app
    if (!card) return
    const whole = subject !== null && subject.width !== card.width
    const usual = whole ? 1 : embedding(card, pixels).scale
    const scale = this.scales.find((scale) => scale >= usual) ?? this.scales[this.scales.length - 1]
    if (card !== this.card) this.sizes.offer(card, scale)
    this.card = card
    this.sizes.show()
    this.#offerTexts()
  }

  #offerTexts() {
    if (!this.subject) return
    const found = this.#snippets(this.subject)
    for (const text of this.texts) text.hidden = !(text.name in found)
    this.embed.hidden = !("html" in found)
    this.picture.hidden = this.formats.value === "zip"
  }

  async copy(name) {
    const { subject } = this
    if (subject) await this.#copied(TEXTS[name], () => copyText(this.#snippets(subject)[name]))
  }

  /** Hands the link to whatever the visitor's device shares with, else copies it. */
  async share() {
    if (!this.subject) return
    if (navigator.share === undefined) return this.copy("link")
    const { alt: title, page: url } = this.subject
    await navigator.share({ title, url }).catch((error) => {
      if (error.name !== "AbortError") toast(`Nothing was shared: ${error.message}`)
    })
  }

  async #copyPicture() {
    const { subject } = this
    if (!subject) return
    await this.#copied("the picture", async () => {
      if (!navigator.clipboard?.write)
        throw new Error("this page needs https for that; download it")
      const file = this.app.api.blob(subject.draw("png", this.sizes.words()))
      await navigator.clipboard.write([new ClipboardItem({ "image/png": file })])
    })
  }

  async #copied(what, copy) {
    try {
      await copy()
      toast(`Copied: ${what}`)
    } catch (error) {
      toast(`Nothing was copied: ${error.message}`)
    }
  }

  async download() {
    const { subject } = this
    if (!subject) return
    const format = this.formats.value
    const name = `${subject.name}.${format}`
    this.saving.disabled = true
    await attempt(async () => {
      save(await this.app.api.blob(subject.draw(format, this.sizes.words())), name)
      toast(`Saved: ${name}`)
    })
    this.saving.disabled = this.subject === null
  }

  /** @param {Subject} subject */
  #snippets(subject) {
    const { card, pixels } = this.app
    const format = this.formats.value
    return snippets(subject, { origin: originOf(location), card, pixels, format })
  }
}
