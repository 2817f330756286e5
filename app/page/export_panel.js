/** The part of the page from which a picture is saved and copied. */

import { offerSizes } from "./controls.js"
import { attempt, button, choice, div, field, h, toast } from "./dom.js"
import { copyText, save } from "./files.js"
import { drawing } from "./picture.js"
import { fileName, scalesFor, snippets } from "./snippets.js"

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
  /** @type {Picture} */
  picture

  /** @param {Explorer} app */
  constructor(app) {
    this.app = app
    this.formats = choice(Object.entries(FORMATS), "png", () => {})
    this.sizes = h("select")
    const small = (label, act, words = {}) =>
      h("button", { type: "button", class: "button small", onclick: act, ...words }, label)
    this.texts = Object.entries(TEXTS).map(([name, label]) =>
      small(label, () => this.copy(name), { name }),
    )
    const primary = { keys: "D", class: "button primary" }
    this.root = h(
      "fieldset",
      { class: "export" },
      h("legend", {}, "Take it away"),
      div(
        "row",
        field("Format", this.formats),
        field("Size", this.sizes),
        button("Download", "down", () => this.download(), primary),
      ),
      h("p", { class: "name", id: "copy-label" }, "Copy"),
      h(
        "div",
        { class: "row", role: "group", "aria-labelledby": "copy-label" },
        small("Picture", () => this.#copyPicture()),
        this.texts,
      ),
    )
  }

  /** @param {Picture} picture */
  show(picture) {
    this.picture = picture
    const side = this.app.card.width
    const scale = SCALES.find((scale) => scale >= scalesFor(side)[0]) ?? 1
    if (side !== this.side) offerSizes(this.sizes, SCALES, side, scale)
    this.side = side
    const found = this.#snippets()
    for (const text of this.texts) text.hidden = !(text.name in found)
  }

  async copy(name) {
    await this.#copied(TEXTS[name], () => copyText(this.#snippets()[name]))
  }

  async #copyPicture() {
    await this.#copied("the picture", async () => {
      if (!navigator.clipboard?.write)
        throw new Error("this page needs https for that; download it")
      const file = this.app.api.blob(drawing(this.picture, { scale: this.#scale() }))
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
    const { picture } = this
    const format = this.formats.value
    const name = fileName(picture, format)
    await attempt(async () => {
      save(await this.app.api.blob(drawing(picture, { format, scale: this.#scale() })), name)
      toast(`Saved: ${name}`)
    })
  }

  #scale() {
    return Number(this.sizes.value)
  }

  #snippets() {
    const origin = new URL(".", location.href).href.slice(0, -1) // with a proxy's path, if any
    return snippets(this.picture, { origin, side: this.side, page: location.href })
  }
}
