/** A picture for each name of a list: as a sheet, a file of all, or lines of HTML. */

import { ClassField } from "./controls.js"
import { button, div, h, title } from "./dom.js"
import { ExportPanel } from "./export_panel.js"
import { bodyText, plainPicture, urlOf } from "./picture.js"
import { seedProblem, wholeNumber } from "./seeds.js"
import { namesOf } from "./state.js"
import { drawEach, Tiles } from "./tiles.js"

const EXAMPLES = ["ada", "grace", "alan", "edsger", "barbara", "donald"]
const FORMATS = { zip: "Files (zip)", png: "Sheet (PNG)", webp: "Sheet (WebP)" }
const SIDE = 64 // pixels, in the lines of HTML

export class Names {
  /** @type {Keys} */
  keys = { d: ["Download", () => this.exports.download()] }

  /** @param {Explorer} app */
  constructor(app) {
    this.app = app
    this.exports = new ExportPanel(app, { formats: FORMATS, first: "zip", scales: [1, 2, 4] })
    this.tiles = new Tiles("Pictures of the names", (picture) => app.open(picture))
    this.area = h("textarea", {
      rows: 8,
      spellcheck: false,
      autocapitalize: "off",
      placeholder: EXAMPLES.join("\n"),
      "aria-label": "Names, one a line",
      "aria-describedby": "names-problem",
      onchange: () => this.#commit(namesOf(this.area.value)),
    })
    this.classes = new ClassField([["", "Automatic"]], (name) =>
      app.change("names", { class: name }),
    )
    this.problem = h("p", { class: "problem", id: "names-problem", role: "status", hidden: true })
    const show = button("Show them", null, () => this.#commit(namesOf(this.area.value)), {
      class: "button primary",
    })
    const text =
      "A list of user names, one a line. Each becomes its own picture, the same for ever: " +
      "download them all, or copy a line of HTML for each."
    this.root = div(
      "names-view split even",
      div("panel", div("heading", title("Names"), h("p", {}, text)), this.area, this.problem),
      div("panel", this.tiles.root, this.exports.primary, this.exports.root),
    )
    this.root.firstElementChild?.append(div("row", show, this.classes.root))
  }

  show({ names }) {
    const { app } = this
    const { card } = app
    if (card !== this.card) this.classes.offer(card.classes)
    this.card = card
    this.classes.select.value = names.class
    if (names.list.length) this.area.value = names.list.join("\n")
    const list = names.list.length ? names.list : EXAMPLES
    const most = Math.min(card.ranges.pictures, card.ranges.pictures_of_a_post ?? 256)
    const bad = list.find((name) => seedProblem(name))
    const many = list.length > most ? `This host draws up to ${most} at once.` : ""
    const problem = bad ? `${bad}: ${seedProblem(bad)}` : many
    this.problem.textContent = problem
    this.problem.hidden = problem === ""
    if (!problem) return this.#draw(list, names.class)
    this.tiles.rest()
    return this.exports.show(null)
  }

  async #draw(list, class_) {
    const { app, card } = this
    const pictures = list.map((name) => named(card.id, name, class_))
    const subject = sheetOf(card, list, class_)
    const shown = await drawEach(this.tiles, pictures, app.api)
    if (shown && app.card === card) this.exports.show(subject)
  }

  #commit(list) {
    this.app.change("names", { list })
  }
}

/** Returns the picture of a number, or of a name whose seed only the host knows. */
function named(model, name, class_) {
  const number = wholeNumber(name)
  const { seed, ...words } = plainPicture(model, number ?? "", class_)
  return number === null ? { ...words, text: name } : { ...words, seed }
}

/** @param {Card} card @returns {Subject} */
function sheetOf({ id, name: generator, width }, list, class_) {
  const columns = Math.ceil(Math.sqrt(list.length))
  const recipes = list.map((name) => recipeOf(name, class_))
  return {
    name: `${generator}-names`,
    alt: `${list.length} names`,
    page: location.href,
    width: width * columns,
    height: width * Math.ceil(list.length / columns),
    draw: (format, words) => ({
      url: "/generate",
      body: bodyText({
        model: id,
        recipes,
        format,
        ...(format === "zip" ? {} : { columns }),
        ...words,
      }),
    }),
    lines: list.map((name) => ({
      url: urlOf("/generate", { model: id, seed: name, class: class_ }),
      alt: name,
      side: SIDE,
    })),
  }
}

function recipeOf(name, class_) {
  const number = wholeNumber(name)
  const source = number === null ? { name } : { seed: number }
  return { ...source, class: class_ || undefined }
}
