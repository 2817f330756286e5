/** Fields that several views share. */

import { button, choice, field, h, relabel } from "./dom.js"
import { lookText } from "./picture.js"

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

/** Offers the sizes in which a generator's pictures are saved. @param {HTMLSelectElement} list */
export function offerSizes(list, scales, side, chosen) {
  const options = scales.map((scale) => h("option", { value: scale }, `${side * scale} px`))
  list.replaceChildren(...options)
  list.value = chosen
}

/** Returns a field for a seed. */
export function seedInput(words = {}) {
  const plain = { autocapitalize: "off", autocomplete: "off", spellcheck: false }
  return h("input", { ...plain, ...words })
}
