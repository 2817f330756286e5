/** From a file back to its picture: by the recipe in it, or by a search, where the host allows it. */

import { button, h, icon, title, toast } from "./dom.js"
import { describe } from "./picture.js"
import { LARGEST_FILE, readRecipe, viewOf } from "./recipe.js"
import { checkedState } from "./state.js"
import { Search } from "./search.js"

export class Find {
  /** @type {Keys} */
  keys = { o: ["Open a file", () => this.input.click()] }

  /** @param {Explorer} app */
  constructor(app) {
    this.app = app
    this.search = new Search(app)
    this.input = h("input", {
      type: "file",
      accept: "image/*,video/mp4",
      hidden: true,
      onchange: () => this.#chosen(),
    })
    this.answer = h("div", { class: "answer", role: "status" })
    const primary = { keys: "O", class: "button primary" }
    const text = "Every file from here carries its recipe: drop one, and it is restored."
    this.zone = h(
      "div",
      { class: "drop" },
      icon("find"),
      title("Drop a picture"),
      h("p", {}, `${text} It is read in your browser and sent nowhere.`),
      button("Choose a file", null, () => this.input.click(), primary),
      this.input,
    )
    this.root = h("section", { class: "find-view" }, this.zone, this.answer, this.search.root)
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

  /** What the search has found so far. */
  current() {
    return this.search.root.hidden ? null : this.search.picture
  }

  #chosen() {
    const [file] = this.input.files ?? []
    this.input.value = ""
    if (file) this.read(file)
  }

  /** Shows what a file is of, whichever view it was dropped on. */
  async read(file) {
    await this.app.go("find")
    this.search.leave()
    if (file.size > LARGEST_FILE)
      return this.#say("This file is too large", "Pictures up to 64 MiB are read.")
    const recipe = readRecipe(new Uint8Array(await file.arrayBuffer()))
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
      return this.#say(
        "Its generator is not served here",
        `The file is of ${String(found.model).slice(0, 80)}; here there are ${ids.join(", ")}.`,
      )
    }
    const shown = found.picture
      ? describe(found.picture)
      : { path: "a path", plane: "a plane", grid: "a sheet" }[found.view]
    app.commit(checkedState(found))
    const part = found.of ? `, one of the file's ${found.of}` : ""
    toast(`Restored from the file: ${shown}, of ${name}${part}`)
  }

  async #foreign(file) {
    const image = await createImageBitmap(file).catch(() => null)
    if (!image) return this.#say("No picture", "This file is none that the browser can show.")
    if (!this.app.card.projection) {
      this.#say(
        "No recipe in this file",
        "It is not from here, or somebody has stripped it. Looking for the nearest picture is " +
          "turned off on this host; its operator turns it on with GAN_PROJECTION=true.",
      )
      return
    }
    this.answer.replaceChildren()
    this.search.begin(image)
  }

  #say(title, text) {
    this.answer.replaceChildren(h("div", { class: "notice" }, h("h2", {}, title), h("p", {}, text)))
  }
}
