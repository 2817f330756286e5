/** Elements of the page, and what it says. */

/**
 * Returns an element with its properties, attributes and listeners.
 *
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, any>} words `onclick` and the like listen, all else is a property, or an
 *   attribute where there is no such property
 * @param {...any} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function h(tag, words = {}, ...children) {
  /** @type {Record<string, any> & HTMLElementTagNameMap[T]} */
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(words)) {
    if (value === undefined || value === null || value === false) continue
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value)
    else if (name === "class") element.className = value
    else if (name in element && name !== "list") element[name] = value
    else element.setAttribute(name, value === true ? "" : value)
  }
  const absent = [null, undefined, false]
  element.append(...children.flat(Infinity).filter((child) => !absent.includes(child)))
  return element
}

/** Returns a block of a class. @param {string} className @param {...any} children */
export function div(className, ...children) {
  return h("div", { class: className }, ...children)
}

/** Returns the element of index.html with an id. @param {string} id */
export function byId(id) {
  return /** @type {HTMLElement} */ (document.getElementById(id))
}

const SVG = "http://www.w3.org/2000/svg"

/** Returns one of the drawings at the start of index.html. */
export function icon(name) {
  const drawing = document.createElementNS(SVG, "svg")
  drawing.setAttribute("class", "icon")
  drawing.setAttribute("aria-hidden", "true")
  const use = document.createElementNS(SVG, "use")
  use.setAttribute("href", `#${name}`)
  drawing.append(use)
  return drawing
}

/** Returns a button; its label is read out, and seen if it is `shown`. @param {any} words */
export function button(label, drawing, onclick, words = {}) {
  const { shown = true, keys = "", ...others } = words
  const title = keys ? `${label} (${keys})` : shown ? undefined : label
  return h(
    "button",
    { type: "button", onclick, title, class: shown ? "button" : "button bare", ...others },
    drawing && icon(drawing),
    h("span", { class: shown ? "" : "unseen" }, label),
  )
}

/** Gives a button another label. @param {HTMLButtonElement} button */
export function relabel(button, label) {
  for (const text of all(button, "span")) text.textContent = label
}

/** Returns the elements in another of a selector. @returns {HTMLElement[]} */
export function all(root, selector) {
  return [...root.querySelectorAll(selector)]
}

/** Returns a view's first heading, which has the focus when the view is entered. */
export function title(text) {
  return h("h1", { tabIndex: -1, "data-start": true }, text)
}

/** Returns a sign between pictures. */
export function sign(text) {
  return h("span", { class: "sign", "aria-hidden": "true" }, text)
}

/** Returns a canvas that holds no picture yet. */
export function canvas(words = {}) {
  return h("canvas", { width: 1, height: 1, ...words })
}

/** Returns a slider. */
export function range(min, max, step, words = {}) {
  return h("input", { type: "range", min, max, step, ...words })
}

/** Returns a label with its field. @param {HTMLElement} input @param {HTMLElement | null} after */
export function field(label, input, after = null) {
  input.setAttribute("aria-label", label) // without what stands after it
  return h("label", { class: "field" }, h("span", { class: "name" }, label), input, after)
}

/** Returns a list to choose from. @param {string[][]} options values, and what is shown */
export function choice(options, value, onchange) {
  const list = options.map(([value, text]) => h("option", { value }, text))
  const select = h("select", { onchange: () => onchange(select.value) }, list)
  select.value = value
  return select
}

/** Returns what draws on a canvas. @param {HTMLCanvasElement} canvas */
export function contextOf(canvas) {
  return /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"))
}

/** Puts an image on a canvas, which becomes as large. @param {HTMLCanvasElement} canvas */
export function paint(canvas, image) {
  if (canvas.width !== image.width) canvas.width = image.width
  if (canvas.height !== image.height) canvas.height = image.height
  const context = contextOf(canvas)
  context.clearRect(0, 0, image.width, image.height)
  context.drawImage(image, 0, 0)
}

/** Puts a square out of a sheet on a canvas, which becomes as large as the square. */
export function paintPart(canvas, sheet, x, y, side) {
  canvas.width = canvas.height = side
  contextOf(canvas).drawImage(sheet, x, y, side, side, 0, 0, side, side)
}

/** Puts an image on a canvas once it has come. @param {Promise<ImageBitmap>} coming */
export function paintSoon(canvas, coming, fail = () => {}) {
  coming.then((image) => paint(canvas, image), fail)
}

/** Shows a dialog, which is gone when it is closed. */
export function showDialog(words, ...children) {
  const dialog = h("dialog", { onclose: () => dialog.remove(), ...words }, ...children)
  document.body.append(dialog)
  dialog.showModal()
  return dialog
}

/** Tells whether the visitor has asked for less motion. */
export function wantsStillness() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches
}

/** Scrolls what gets the focus by keyboard from under the head, where a browser leaves it there. */
export function showFocus() {
  const head = /** @type {Element} */ (document.querySelector("header"))
  addEventListener("focusin", ({ target }) => {
    const element = /** @type {Element} */ (target)
    if (head.contains(element) || !element.matches(":focus-visible")) return
    const [{ bottom }, { top, height }] = [head, element].map((one) => one.getBoundingClientRect())
    if (top < bottom && height < innerHeight / 2) scrollBy(0, top - bottom - 8)
  })
}

/** Says a text to those who listen to the page. */
export function announce(text) {
  const region = byId("said")
  region.textContent = ""
  requestAnimationFrame(() => (region.textContent = text))
}

/** Tells whether a line at the bottom lies over what was just pressed. */
function covers(line, pressed) {
  line.classList.remove("above")
  const [one, other] = [line, pressed].map((element) => element.getBoundingClientRect())
  return other.bottom > one.top && other.height < innerHeight / 2
}

let fading = 0

/** Shows a line for a while, and says it. */
export function toast(text) {
  const line = byId("toast")
  line.textContent = text
  line.hidden = false
  line.classList.toggle("above", covers(line, document.activeElement))
  clearTimeout(fading)
  fading = setTimeout(() => (line.hidden = true), 4000)
  announce(text)
}

/** Does what may fail, and tells of a failure. @param {() => Promise<unknown>} work */
export async function attempt(work) {
  try {
    await work()
  } catch (error) {
    toast(error.message)
  }
}

/** Calls back with each file that is dropped on the page, or pasted. */
export function onFile(read) {
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
    read(file)
  })
  addEventListener("paste", ({ clipboardData }) => {
    const [file] = clipboardData?.files ?? []
    if (file) read(file)
  })
}
