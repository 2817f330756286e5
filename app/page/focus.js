/** One picture, large: its seed, class, truncation, and the directions along which it changes. */

import { announce, button, choice, field, h, paint, show, toast } from "./dom.js"
import { Latest } from "./latest.js"
import {
  changed,
  describe,
  drawing,
  keyOf,
  plainPicture,
  sheetDrawing,
  shortNumber,
  titleOf,
} from "./picture.js"
import { randomSeed, seedAfter, seedProblem } from "./seeds.js"
import { Taking } from "./taking.js"
import { Tiles } from "./tiles.js"

const MOST_SLIDERS = 8

export class Focus {
  keys = {
    ArrowLeft: ["The seed before", ({ repeat }) => this.#step(-1, repeat)],
    ArrowRight: ["The seed after", ({ repeat }) => this.#step(1, repeat)],
    r: ["A random seed", () => this.#random()],
    d: ["Download", () => this.taking.download()],
    c: ["Copy the link", () => this.taking.copy("link")],
    "/": ["Type a seed", () => this.seed.focus()],
  }

  constructor(app) {
    this.app = app
    this.latest = new Latest()
    this.endsLatest = new Latest()
    this.sliders = []
    this.taking = new Taking(app)
    this.seen = new Tiles("Seen lately", (picture) => app.open(picture))
    this.canvas = h("canvas", { class: "large", role: "img", width: 1, height: 1 })
    this.title = h("h1", { tabIndex: -1, "data-start": true })
    this.detail = h("p", { class: "detail" })
    this.trouble = h("p", { class: "problem", role: "alert", hidden: true })
    this.favourite = button("Favourite", "saved", () => app.toggleFavourite(this.draft), {
      keys: "F",
    })
    this.pin = button("Pin", "pin", () => app.togglePin(this.draft), { keys: "P" })
    this.smooth = button("Smooth", "smooth", () => app.toggleSmooth(), { keys: "X" })
    this.directions = h("div", { class: "directions" })
    this.seed = h("input", {
      inputMode: "text",
      autocomplete: "off",
      autocapitalize: "off",
      spellcheck: false,
    })
    this.classField = h("div")
    this.truncation = h("input", { type: "range", min: 0, max: 1, step: 0.01 })
    this.truncationText = h("output")
    this.#listen(this.truncation, () => ({ truncation: Number(this.truncation.value) }))
    this.reset = button("Undo all edits", null, () => this.#commit({ edit: {} }), {
      class: "button small",
    })
    this.root = this.#layout()
  }

  #layout() {
    const bare = { shown: false }
    this.before = button("The seed before", "left", () => this.#step(-1), { ...bare, keys: "←" })
    this.after = button("The seed after", "right", () => this.#step(1), { ...bare, keys: "→" })
    const walk = [
      this.before,
      button("Random", "dice", () => this.#random(), { keys: "R" }),
      this.after,
    ]
    const form = h(
      "form",
      { class: "row", onsubmit: (event) => this.#ask(event) },
      field("Seed", this.seed),
      h("button", { class: "button" }, "Show"),
    )
    return h(
      "section",
      { class: "focus-view" },
      h(
        "div",
        { class: "stage" },
        h("div", { class: "frame" }, this.canvas, this.trouble),
        h(
          "div",
          { class: "row between" },
          h("div", { class: "row" }, walk),
          h("div", { class: "row" }, this.smooth, this.favourite, this.pin),
        ),
      ),
      h(
        "div",
        { class: "panel" },
        h("div", { class: "heading" }, this.title, this.detail),
        h("div", { class: "row" }, form, this.classField),
        field("Truncation", this.truncation, this.truncationText),
        h(
          "div",
          { class: "row between" },
          (this.directionsTitle = h("h2", {}, "Directions")),
          this.reset,
        ),
        this.directions,
        this.taking.root,
      ),
      h("div", { class: "lately" }, h("h2", {}, "Seen lately"), this.seen.root),
    )
  }

  show({ picture }) {
    const { app } = this
    this.draft = picture
    if (app.card !== this.card) this.#newModel(app.card)
    this.title.textContent = titleOf(picture)
    const isSeed = picture.seed !== undefined
    this.seed.value = picture.text ?? picture.seed ?? ""
    this.before.disabled = !isSeed || picture.seed === "0"
    this.after.disabled = !isSeed
    this.#fill(picture)
    this.#draw(picture)
    this.#drawEnds(picture)
    this.#tellClass(picture)
    this.taking.show(picture)
    app.seen.add(picture)
    this.#showSeen()
    this.marks()
  }

  current() {
    return this.draft
  }

  /** Shows what has become of the favourites and the pins. */
  marks() {
    const { app, draft } = this
    this.favourite.setAttribute("aria-pressed", String(app.favourites.has(draft)))
    const smooth = document.documentElement.classList.contains("smooth")
    this.smooth.setAttribute("aria-pressed", String(smooth))
    this.pin.setAttribute("aria-pressed", String(app.isPinned(draft)))
  }

  #newModel(card) {
    this.card = card
    const { directions } = this.app
    const count = Math.min(MOST_SLIDERS, directions.length, card.ranges.edits ?? MOST_SLIDERS)
    this.sliders = directions
      .slice(0, count)
      .map((direction, place) => this.#slider(direction, place))
    this.directions.replaceChildren(...this.sliders.map(({ root }) => root))
    this.directionsTitle.hidden = this.reset.hidden = count === 0
    this.classField.replaceChildren()
    if (card.classes.length) {
      const options = [["", "Its own"], ...card.classes.map((name) => [name, name])]
      this.classes = choice(options, "", (name) => this.#commit({ class: name }))
      this.classField.append(field("Class", this.classes))
    }
  }

  #slider({ id, range: [low, high] }, place) {
    const input = h("input", { type: "range", min: low, max: high, step: (high - low) / 200 })
    let dragged = false // keys go step by step
    input.addEventListener("pointerdown", () => (dragged = true))
    input.addEventListener("keydown", () => (dragged = false))
    const text = h("output")
    const name = `Direction ${place + 1}`
    const end = (value, words) => {
      const canvas = h("canvas", { width: 1, height: 1 })
      const onclick = () => this.#commit({ edit: { ...this.draft.edit, [id]: value } })
      const label = `${name}: as far ${words} as it goes`
      return {
        canvas,
        root: h(
          "button",
          { type: "button", class: "end", "aria-label": label, title: label, onclick },
          canvas,
        ),
      }
    }
    const [less, more] = [end(low, "left"), end(high, "right")]
    input.setAttribute("aria-label", name)
    input.addEventListener("dblclick", () =>
      this.#commit({ edit: { ...this.draft.edit, [id]: 0 } }),
    )
    this.#listen(input, () => {
      const step = Number(Number(input.value).toFixed(high < 1 ? 4 : 2))
      return { edit: { ...this.draft.edit, [id]: dragged ? snapped(step, high) : step } }
    })
    const root = h(
      "div",
      { class: "slider" },
      less.root,
      h("div", {}, h("div", { class: "row between name" }, h("span", {}, name), text), input),
      more.root,
    )
    return { id, low, high, input, text, ends: [less.canvas, more.canvas], root }
  }

  /** Draws while a slider is moved, and keeps what it is let go at. */
  #listen(input, words) {
    input.addEventListener("input", () => {
      this.draft = changed(this.draft, words())
      this.#fill(this.draft)
      this.#draw(this.draft)
    })
    input.addEventListener("change", () => this.#commit(words()))
  }

  #commit(words) {
    const picture = changed(this.draft, words)
    if (keyOf(picture) === keyOf(this.app.state.picture)) return this.show(this.app.state)
    this.app.commit({ picture })
  }

  #fill({ truncation, edit, class: class_, z }) {
    this.truncation.value = truncation
    this.truncationText.textContent = shortNumber(truncation)
    if (this.classes) {
      this.classes.value = class_ ?? ""
      this.classes.options[0].disabled = z !== undefined // it has none by itself
    }
    for (const { id, input, text } of this.sliders) {
      input.value = edit[id] ?? 0
      text.textContent = (edit[id] ?? 0).toFixed(1).replace(/^-(?=0\.0$)/, "")
    }
    this.reset.disabled = Object.keys(edit).length === 0
  }

  #draw(picture) {
    this.latest.ask(
      () => this.app.api.image(drawing(picture)),
      (image) => {
        show(this.canvas, image, drawing(picture).url, describe(picture))
        this.trouble.hidden = true
      },
      (error) => {
        this.trouble.textContent = error.message
        this.trouble.hidden = false
      },
    )
  }

  /** The pictures at both ends of every slider, on one sheet where they fit on one. */
  #drawEnds(picture) {
    const pictures = this.sliders.flatMap(({ id, low, high }) =>
      [low, high].map((step) => changed(picture, { edit: { ...picture.edit, [id]: step } })),
    )
    const canvases = this.sliders.flatMap(({ ends }) => ends)
    if (pictures.length === 0) return
    const { api, card } = this.app
    const sheet = pictures.length <= card.ranges.pictures && sheetDrawing(pictures, pictures.length)
    const each = () => Promise.all(pictures.map((one) => api.image(drawing(one))))
    this.endsLatest.ask(
      async () => (sheet ? cut(await api.image(sheet), pictures.length) : each()),
      (images) => images.forEach((image, place) => paintPart(canvases[place], image)),
    )
  }

  #showSeen() {
    const lately = this.app.seen.pictures.filter(({ model }) => model === this.card.id).slice(0, 12)
    this.seen.clear()
    this.seen.addEach(lately, this.app.api, drawing)
    this.seen.mark((picture) => keyOf(picture) === keyOf(this.draft))
  }

  async #tellClass(picture) {
    const parts = [picture.text ? `seed ${picture.seed}` : "", this.app.card.name]
    if (picture.seed && this.card.classes.length) {
      parts.push(picture.class ?? (await this.app.ownClass(picture)))
    }
    if (picture !== this.app.state.picture) return
    this.detail.textContent = parts.filter(Boolean).join(" · ")
  }

  /** Goes to a seed nearby; while a key is held, all the way is one step back. */
  #step(steps, replace = false) {
    const { seed } = this.draft
    if (seed === undefined) return
    const next = seedAfter(seed, steps)
    if (next === seed) return
    this.#go(next, replace)
  }

  #random() {
    this.#go(randomSeed())
  }

  #go(seed, replace = false) {
    const { model, truncation, edit, class: class_ } = this.draft
    const picture = { ...plainPicture(model, seed, class_), truncation, edit }
    this.app.commit({ picture }, { replace })
    announce(describe(picture))
  }

  async #ask(event) {
    event.preventDefault()
    const text = this.seed.value.trim()
    const problem = seedProblem(text)
    if (problem) return toast(problem)
    const { truncation, edit, class: class_ } = this.draft
    try {
      const picture = await this.app.pictureOf(text, class_)
      this.app.commit({ picture: { ...picture, truncation, edit } })
    } catch (error) {
      toast(error.message)
    }
  }
}

/** Near the middle is the middle: the way back to no edit is easy to find. */
function snapped(step, reach) {
  return Math.abs(step) < reach / 60 ? 0 : step
}

function cut(sheet, count) {
  const side = sheet.width / count
  return Array.from({ length: count }, (_, place) => ({ sheet, x: place * side, side }))
}

function paintPart(canvas, image) {
  if (!image.sheet) return paint(canvas, image)
  const { sheet, x, side } = image
  canvas.width = canvas.height = side
  canvas.getContext("2d").drawImage(sheet, x, 0, side, side, 0, 0, side, side)
}
