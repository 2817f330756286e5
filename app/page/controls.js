/** Fields that several views share. */

import { button, choice, field, h, relabel } from "./dom.js"
import { lookText } from "./picture.js"
import { enlargement, exceptionOf, pixelsOf } from "./pixels.js"

/** A button that takes away what is done to every picture of a view. */
export class ClearButton {
  /** @param {() => void} clear */
  constructor(clear) {
    this.root = button("", "close", clear, { class: "button small clear", hidden: true })
  }

  /** @param {Look} look hidden where it is plain */
  show(look) {
    const text = lookText(look)
    this.root.hidden = text === ""
    this.root.ariaLabel = this.root.title = `Without ${text}`
    relabel(this.root, text)
  }
}

/** The choice of a class, empty where a generator has none. */
export class ClassField {
  /** @param {string[][]} others that can be chosen instead of a class */
  constructor(others, choose) {
    this.root = h("div")
    this.others = others
    this.choose = choose
    this.select = h("select")
  }

  /** @param {string[]} classes */
  offer(classes) {
    const names = classes.map((name) => [name, name])
    this.select = choice([...this.others, ...names], "", this.choose)
    this.root.replaceChildren(...(classes.length ? [field("Class", this.select)] : []))
  }
}

/** The choice of the size in which pictures are saved, and of their pixels. */
export class SizeFields {
  /** @param {Explorer} app @param {number[]} scales */
  constructor(app, scales) {
    this.app = app
    this.scales = scales
    this.size = h("select", { onchange: () => this.show() })
    this.pixels = h("select", { onchange: () => app.usePixels(this.pixels.value) })
    this.fields = [field("Size", this.size), field("Pixels", this.pixels)]
    this.exception = h("p", { class: "detail", role: "status", hidden: true })
  }

  /** Offers those of a generator. @param {Card} card @param {number} scale chosen at first */
  offer(card, scale) {
    const side = card.width
    const sizes = this.scales.map((scale) => h("option", { value: scale }, `${side * scale} px`))
    if (side !== this.side) this.size.replaceChildren(...sizes)
    if (side !== this.side) this.size.value = String(scale)
    this.side = side
    const kinds = pixelsOf(card).map((kind) => h("option", { value: kind }, capital(kind)))
    this.pixels.replaceChildren(...kinds)
  }

  /** Shows the pixels of the moment, and where the size has others. */
  show() {
    const { card, pixels } = this.app
    this.pixels.value = pixels
    this.exception.textContent = exceptionOf(pixels, this.#scale(), card)
    this.exception.hidden = this.exception.textContent === ""
  }

  /** Returns what is chosen, in words of a request. */
  words() {
    return enlargement(this.app.pixels, this.#scale(), this.app.card)
  }

  #scale() {
    return Number(this.size.value)
  }
}

function capital(word) {
  return word[0].toUpperCase() + word.slice(1)
}

/** Returns a field for a seed. */
export function seedInput(words = {}) {
  const plain = { autocapitalize: "off", autocomplete: "off", spellcheck: false }
  return h("input", { ...plain, ...words })
}
