/** Favourites, and what was seen lately: kept in this browser alone. */

import { button, h, icon, saveText, toast } from "./dom.js"
import { fileOf, picturesIn } from "./kept.js"
import { drawing, keyOf } from "./picture.js"
import { Tiles } from "./tiles.js"

export class Saved {
  keys = {}

  constructor(app) {
    this.app = app
    this.favourites = new Tiles("Favourites", (picture) => app.open(picture))
    this.seen = new Tiles("Seen lately", (picture) => app.open(picture))
    this.file = h("input", {
      type: "file",
      accept: ".json,application/json",
      hidden: true,
      onchange: () => this.#import(),
    })
    this.export = button("Export", "down", () =>
      saveText(fileOf(app.favourites.pictures), "ganserve-favourites.json"),
    )
    this.empty = h(
      "div",
      { class: "empty" },
      icon("saved"),
      h("h2", {}, "No favourites yet"),
      h(
        "p",
        {},
        "Open a picture and press Favourite (F). They stay in this browser; exported, they travel.",
      ),
    )
    this.lately = h(
      "div",
      {},
      h(
        "div",
        { class: "row between" },
        h("h2", {}, "Seen lately"),
        button("Forget these", null, () => this.#forget()),
      ),
      this.seen.root,
    )
    this.root = h(
      "section",
      { class: "saved-view" },
      h(
        "div",
        { class: "row between heading" },
        h("h1", { tabIndex: -1, "data-start": true }, "Favourites"),
        h(
          "div",
          { class: "row" },
          this.export,
          button("Import", null, () => this.file.click()),
          this.file,
        ),
      ),
      this.favourites.root,
      this.empty,
      this.lately,
    )
  }

  /** Shows what has become of the favourites. */
  marks() {
    const place = [...this.root.querySelectorAll("button.tile")].indexOf(document.activeElement)
    this.show()
    this.root.querySelectorAll("button.tile")[place]?.focus()
  }

  show() {
    const { favourites, seen, api } = this.app
    this.favourites.clear()
    this.favourites.addEach(favourites.pictures, api, drawing)
    this.seen.clear()
    this.seen.addEach(seen.pictures, api, drawing)
    this.empty.hidden = favourites.pictures.length > 0
    this.export.disabled = favourites.pictures.length === 0
    this.lately.hidden = seen.pictures.length === 0
  }

  async #import() {
    const [file] = this.file.files
    this.file.value = ""
    if (!file) return
    try {
      const pictures = picturesIn(await file.text())
      const { favourites } = this.app
      const others = new Map(pictures.map((picture) => [keyOf(picture), picture]))
      for (const one of favourites.pictures) others.delete(keyOf(one))
      const fitting = [...others.values()].slice(0, favourites.room)
      for (const picture of fitting.reverse()) favourites.add(picture)
      const lost = others.size - fitting.length
      const full = lost ? `; there is no room for ${lost}` : ""
      toast(`${fitting.length} new of ${pictures.length} in the file${full}`)
    } catch (error) {
      toast(error.message)
    }
    this.show()
  }

  #forget() {
    this.app.seen.clear()
    this.show()
  }
}
