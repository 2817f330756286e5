/** The corner of the page from which a picture is taken away. */

import { button, choice, copyText, field, h, save, toast } from "./dom.js"
import { drawing } from "./picture.js"
import { fileName, scalesFor, snippets } from "./take.js"

const FORMATS = [
  ["png", "PNG"],
  ["webp", "WebP"],
  ["avif", "AVIF"],
  ["jpg", "JPEG"],
]
const TEXTS = [
  ["link", "Link to this page"],
  ["url", "Picture URL"],
  ["html", "<img> tag"],
  ["markdown", "Markdown"],
  ["curl", "curl"],
  ["python", "Python"],
]

export class Taking {
  constructor(app) {
    this.app = app
    this.format = "png"
    this.formats = choice(FORMATS, this.format, (format) => (this.format = format))
    this.sizes = h("select", { onchange: () => (this.scale = Number(this.sizes.value)) })
    this.texts = TEXTS.map(([name, label]) => {
      const words = { class: "button small", name, onclick: () => this.copy(name) }
      return h("button", { type: "button", ...words }, label)
    })
    this.root = h(
      "fieldset",
      { class: "take" },
      h("legend", {}, "Take it away"),
      h(
        "div",
        { class: "row" },
        field("Format", this.formats),
        field("Size", this.sizes),
        button("Download", "down", () => this.download(), { keys: "D", class: "button primary" }),
      ),
      h("p", { class: "name", id: "copy-label" }, "Copy"),
      h(
        "div",
        { class: "row", role: "group", "aria-labelledby": "copy-label" },
        h(
          "button",
          { type: "button", class: "button small", onclick: () => this.copyPicture() },
          "Picture",
        ),
        this.texts,
      ),
    )
  }

  show(picture) {
    this.picture = picture
    const side = this.app.card.width
    if (side !== this.side) this.#showSizes(side)
    const found = this.#snippets()
    for (const text of this.texts) text.hidden = !(text.name in found)
  }

  async copy(name) {
    const label = TEXTS.find(([one]) => one === name)[1]
    try {
      await copyText(this.#snippets()[name])
      toast(`Copied: ${label}`)
    } catch (error) {
      toast(`Nothing was copied: ${error.message}`)
    }
  }

  async copyPicture() {
    try {
      if (!navigator.clipboard?.write)
        throw new Error("this page needs https for that; download it")
      const file = this.app.api.blob(drawing(this.picture, { scale: this.scale }))
      await navigator.clipboard.write([new ClipboardItem({ "image/png": file })])
      toast("Copied: the picture")
    } catch (error) {
      toast(`Nothing was copied: ${error.message}`)
    }
  }

  async download() {
    const { picture, format, scale } = this
    try {
      const file = await this.app.api.blob(drawing(picture, { format, scale }))
      save(file, fileName(picture, format))
      toast(`Saved: ${fileName(picture, format)}`)
    } catch (error) {
      toast(error.message)
    }
  }

  #snippets() {
    return snippets(this.picture, { origin: location.origin, side: this.side, page: location.href })
  }

  #showSizes(side) {
    this.side = side
    const scales = [1, 2, 4, 8, 16]
    this.sizes.replaceChildren(
      ...scales.map((scale) => h("option", { value: scale }, `${side * scale} px`)),
    )
    this.scale = scales.find((scale) => scale >= scalesFor(side)[0]) ?? 1
    this.sizes.value = this.scale
  }
}
