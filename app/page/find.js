/** From a file back to its picture: by its recipe, or by a search, where the host allows it. */

import { button, div, h, icon, title, toast } from "./dom.js"
import { filePicker } from "./files.js"
import { describe } from "./picture.js"
import { LARGEST_FILE, recipeIn, viewOf } from "./recipe.js"
import { checkedState } from "./state.js"
import { Search } from "./search.js"

const NOT_SEARCHED =
  "It is not from here, or somebody has stripped it. Looking for the nearest picture is " +
  "turned off on this host; its operator turns it on with GAN_PROJECTION=true."

const KINDS = [
  ["A picture", "its seed or name, class, variety and edits, to be steered further"],
  ["A film", "its pictures in their order, with speed and way; also a strip, and a zip of frames"],
  ["A sheet", "the same pictures, also a zip of them, or the plane between four corners"],
  ["Any other picture", "nothing, as it has no recipe; some hosts look for the nearest one"],
]

export class Find {
  /** @type {Keys} */
  keys = { o: ["Open a file", () => this.input.click()] }

  /** @param {Explorer} app */
  constructor(app) {
    this.app = app
    this.search = new Search(app)
    this.consent = button("Send it and look", "find", () => this.#search(), {
      class: "button primary",
    })
    this.input = filePicker("image/*,video/mp4,.zip", (file) => this.read(file))
    this.answer = h("div", { class: "answer", role: "status" })
    const primary = { keys: "O", class: "button primary" }
    const text = "Every file from here carries its recipe: drop one, and it is restored."
    this.zone = div(
      "drop",
      icon("find"),
      title("Drop a picture"),
      h("p", {}, `${text} It is read in your browser and sent nowhere unless you say so.`),
      button("Choose a file", null, () => this.input.click(), primary),
      this.input,
    )
    const kinds = KINDS.map(([name, what]) => h("div", {}, h("dt", {}, name), h("dd", {}, what)))
    const told = div("panel", h("h2", {}, "What a file brings back"), h("dl", {}, kinds))
    const found = div("panel", this.answer, this.search.root, told)
    this.root = div("find-view split even", this.zone, found)
  }

  show() {
    const { card } = this.app
    if (card !== this.card) this.search.leave()
    this.card = card
  }

  hide() {
    this.answer.replaceChildren()
    this.search.leave()
  }

  /** Returns what the search has found so far. */
  current() {
    return this.search.root.hidden ? null : this.search.picture
  }

  /** Shows what a file is of, whichever view it was dropped on. */
  async read(file) {
    await this.app.go("find")
    this.search.leave()
    if (file.size > LARGEST_FILE)
      return this.#say("This file is too large", "Pictures up to 64 MiB are read.")
    const recipe = await recipeIn(new Uint8Array(await file.arrayBuffer()))
    const found = recipe && viewOf(recipe)
    if (found) return this.#restore(found)
    if (recipe)
      return this.#say("A recipe that this page cannot show", JSON.stringify(recipe).slice(0, 200))
    await this.#foreign(file)
  }

  #restore(found) {
    const { app } = this
    const name = found.model?.split("@")[0]
    const ids = app.generators.list.map(({ id }) => id)
    if (!ids.includes(found.model)) {
      const other = String(found.model).slice(0, 80)
      const text = `The file is of ${other}; here there are ${ids.join(", ")}.`
      return this.#say("Its generator is not served here", text)
    }
    const kinds = { path: "a path", plane: "a plane", grid: "a sheet", names: "a list" }
    const shown = found.picture ? describe(found.picture) : kinds[found.view]
    app.commit(checkedState(found))
    const part = found.of ? `, one of the file's ${found.of}` : ""
    toast(`Restored from the file: ${shown}, of ${name}${part}`)
  }

  async #foreign(file) {
    const image = await createImageBitmap(file).catch(() => null)
    if (!image) return this.#say("No picture", "This file is none that the browser can show.")
    if (!this.app.card.projection) return this.#say("No recipe in this file", NOT_SEARCHED)
    this.image = image
    const text =
      `Its nearest picture can be looked for. For that the square in its middle is sent to ` +
      `${location.host}, which keeps it no longer than it looks.`
    this.#say("It is not from here", text, this.consent)
    this.consent.focus()
  }

  /** Sends the picture, now that its owner has said so. */
  #search() {
    this.answer.replaceChildren()
    if (this.image) this.search.begin(this.image)
    this.image = null
  }

  #say(title, text, ...more) {
    this.answer.replaceChildren(div("notice", h("h2", {}, title), h("p", {}, text), ...more))
  }
}
