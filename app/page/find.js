/** From a file back to its picture: by the recipe in it, or, where the host searches, by looking. */

import { button, h, icon, paint } from "./dom.js"
import { describe } from "./picture.js"
import { LARGEST_FILE, readRecipe, viewOf } from "./recipe.js"
import { Search } from "./search.js"

export class Find {
  keys = { o: ["Open a file", () => this.input.click()] }

  constructor(app) {
    this.app = app
    this.search = new Search(app)
    this.input = h("input", { type: "file", accept: "image/*,video/mp4", hidden: true, onchange: () => this.#chosen() })
    this.answer = h("div", { class: "answer", role: "status" })
    this.given = h("canvas", { class: "given", role: "img", "aria-label": "The picture you gave", width: 1, height: 1 })
    this.zone = h(
      "div",
      { class: "drop" },
      icon("find"),
      h("h1", { tabIndex: -1, "data-start": true }, "Drop a picture"),
      h("p", {}, "Every file from here carries its recipe: drop one, and it is restored. It is read in your browser and sent nowhere."),
      button("Choose a file", null, () => this.input.click(), { keys: "O", class: "button primary" }),
      this.input,
    )
    this.root = h("section", { class: "find-view" }, this.zone, this.answer, this.search.root)
    this.#listen()
  }

  show() {
    this.search.leave()
  }

  hide() {
    this.answer.replaceChildren()
    this.search.leave()
  }

  #listen() {
    const over = (is) => document.documentElement.classList.toggle("dropping", is)
    addEventListener("dragover", (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return
      event.preventDefault()
      over(true)
    })
    addEventListener("dragleave", ({ relatedTarget }) => relatedTarget || over(false))
    addEventListener("drop", (event) => {
      over(false)
      const [file] = event.dataTransfer?.files ?? []
      if (!file) return
      event.preventDefault()
      this.#read(file)
    })
    addEventListener("paste", ({ clipboardData }) => {
      const [file] = clipboardData?.files ?? []
      if (file) this.#read(file)
    })
  }

  #chosen() {
    const [file] = this.input.files
    this.input.value = ""
    if (file) this.#read(file)
  }

  async #read(file) {
    const { app } = this
    if (app.state.view !== "find") app.go("find")
    this.search.leave()
    if (file.size > LARGEST_FILE) return this.#say("This file is too large", "Pictures up to 64 MiB are read.")
    const recipe = readRecipe(new Uint8Array(await file.arrayBuffer()))
    const found = recipe && viewOf(recipe)
    if (found) return this.#restore(found)
    if (recipe) return this.#say("A recipe that this page cannot show", JSON.stringify(recipe).slice(0, 200))
    await this.#foreign(file)
  }

  #restore(found) {
    const { app } = this
    const name = found.model?.split("@")[0]
    const served = app.models.find(({ id }) => id === found.model)
    if (!served) {
      return this.#say(
        "Its generator is not served here",
        `The file is of ${String(found.model).slice(0, 80)}; here there are ${app.models.map(({ id }) => id).join(", ")}.`,
      )
    }
    const shown = found.picture ? describe(found.picture) : { path: "a path", plane: "a plane", grid: "a sheet" }[found.view]
    app.commit(found)
    app.say(`Restored from the file: ${shown}, of ${name}`)
  }

  async #foreign(file) {
    const image = await createImageBitmap(file).catch(() => null)
    if (!image) return this.#say("No picture", "This file is none that the browser can show.")
    paint(this.given, image)
    if (!this.app.searches) {
      this.#say("No recipe in this file", "It is not from here, or somebody has stripped it. Looking for the nearest picture is turned off on this host; its operator turns it on with GAN_PROJECTION=true.")
      return
    }
    this.answer.replaceChildren()
    this.search.begin(file, this.given)
  }

  #say(title, text) {
    this.answer.replaceChildren(h("div", { class: "notice" }, h("h2", {}, title), h("p", {}, text)))
  }
}
