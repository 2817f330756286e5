/** Favourites, and what was seen lately: kept in this browser alone. */

import { all, attempt, button, div, h, icon, relabel, title, toast } from "./dom.js"
import { filePicker, save } from "./files.js"
import { keyOf } from "./picture.js"
import { fileOf, forgets, picturesIn } from "./storage.js"
import { Tiles } from "./tiles.js"

export class Saved {
  /** @type {Keys} */
  keys = {}

  /** @param {Explorer} app */
  constructor(app) {
    this.app = app
    this.favourites = new Tiles("Favourites", (picture) => this.#choose(picture))
    this.removing = button("Remove some", "close", () => this.#remove(!this.removes))
    this.seen = new Tiles("Seen lately", (picture) => app.open(picture))
    this.file = filePicker(".json,application/json", (file) => this.#import(file))
    this.export = button("Export", "down", () => this.#export())
    const text = "Open a picture and press Favourite (F)."
    this.empty = div(
      "empty",
      icon("saved"),
      h("h2", {}, "No favourites yet"),
      h("p", {}, `${text} They stay in this browser; exported, they travel.`),
    )
    const lost = "This browser keeps nothing: export your favourites before you close the page."
    this.lost = h("p", { class: "problem", role: "status", hidden: !forgets() }, lost)
    const forget = button("Forget these", null, () => this.#forget())
    this.lately = h(
      "div",
      {},
      div("row between", h("h2", {}, "Seen lately"), forget),
      this.seen.root,
    )
    const open = button("Import", null, () => this.file.click())
    const heading = { class: "row between heading" }
    this.root = div(
      "saved-view stacked",
      h(
        "div",
        heading,
        title("Favourites"),
        div("row", this.removing, this.export, open, this.file),
      ),
      this.lost,
      this.favourites.root,
      this.empty,
      this.lately,
    )
  }

  marks() {
    const tiles = () => all(this.root, "button.tile")
    const place = tiles().findIndex((tile) => tile === document.activeElement)
    this.show()
    tiles()[place]?.focus()
  }

  show() {
    const { favourites, seen, api } = this.app
    this.lost.hidden = !forgets() && !favourites.alone
    this.favourites.showEach(favourites.pictures, api)
    this.removing.hidden = favourites.pictures.length === 0
    if (favourites.pictures.length === 0) this.#remove(false)
    this.seen.showEach(seen.pictures, api)
    this.empty.hidden = favourites.pictures.length > 0
    this.export.disabled = favourites.pictures.length === 0
    this.lately.hidden = seen.pictures.length === 0
  }

  hide() {
    this.#remove(false)
  }

  /** Opens a favourite, or takes it away while some are removed. */
  #choose(picture) {
    if (this.removes) this.app.toggleFavourite(picture)
    else this.app.open(picture)
  }

  #remove(on) {
    this.removes = on
    this.removing.setAttribute("aria-pressed", String(on))
    relabel(this.removing, on ? "Done" : "Remove some")
    this.favourites.root.classList.toggle("removing", on)
  }

  #export() {
    const text = fileOf(this.app.favourites.pictures)
    save(new Blob([text], { type: "application/json" }), "ganserve-favourites.json")
  }

  async #import(file) {
    await attempt(async () => this.#add(picturesIn(await file.text())))
    this.show()
  }

  /** Adds as many pictures as there is room for: none is lost for others. */
  #add(pictures) {
    const { favourites } = this.app
    const others = new Map(pictures.map((picture) => [keyOf(picture), picture]))
    for (const one of favourites.pictures) others.delete(keyOf(one))
    const fitting = [...others.values()].slice(0, favourites.room)
    for (const picture of fitting.reverse()) favourites.add(picture)
    const lost = others.size - fitting.length
    const full = lost ? `; there is no room for ${lost}` : ""
    toast(`${fitting.length} new of ${pictures.length} in the file${full}`)
  }

  #forget() {
    this.app.seen.clear()
    this.show()
  }
}
