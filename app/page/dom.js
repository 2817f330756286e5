/** Elements, and what is said to those who do not see them. */

/**
 * An element with its properties, attributes and listeners.
 *
 * @param {string} tag
 * @param {Record<string, any>} words `onclick` and the like listen, all else is a property, or an
 *   attribute where there is no such property
 */
export function h(tag, words = {}, ...children) {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(words)) {
    if (value === undefined || value === null || value === false) continue
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value)
    else if (name === "class") element.className = value
    else if (name in element && name !== "list") element[name] = value
    else element.setAttribute(name, value === true ? "" : value)
  }
  element.append(
    ...children
      .flat(Infinity)
      .filter((child) => child !== null && child !== undefined && child !== false),
  )
  return element
}

const SVG = "http://www.w3.org/2000/svg"

/** One of the drawings in the page's first lines. */
export function icon(name) {
  const drawing = document.createElementNS(SVG, "svg")
  drawing.setAttribute("class", "icon")
  drawing.setAttribute("aria-hidden", "true")
  const use = document.createElementNS(SVG, "use")
  use.setAttribute("href", `#${name}`)
  drawing.append(use)
  return drawing
}

/** A button with a drawing, whose label is read out, and shown where `shown`. */
export function button(label, drawing, onclick, { shown = true, keys = "", ...words } = {}) {
  const title = keys ? `${label} (${keys})` : shown ? undefined : label
  return h(
    "button",
    { type: "button", onclick, title, class: shown ? "button" : "button bare", ...words },
    drawing ? icon(drawing) : null,
    h("span", { class: shown ? "" : "unseen" }, label),
  )
}

/** A label with the field that it is of. */
export function field(label, input, after = null) {
  input.setAttribute("aria-label", label) // not what stands after it, too
  return h("label", { class: "field" }, h("span", { class: "name" }, label), input, after)
}

/** A list to choose from. @param {[string, string][]} options values and what is shown */
export function choice(options, value, onchange) {
  const list = options.map(([value, text]) => h("option", { value }, text))
  const select = h("select", { onchange: () => onchange(select.value) }, list)
  select.value = value
  return select
}

/** Puts an image on a canvas, which becomes as large as it. */
export function paint(canvas, image) {
  if (canvas.width !== image.width) canvas.width = image.width
  if (canvas.height !== image.height) canvas.height = image.height
  const context = canvas.getContext("2d")
  context.clearRect(0, 0, image.width, image.height)
  context.drawImage(image, 0, 0)
}

/** Paints a picture, and says by its address and in words which one is shown. */
export function show(canvas, image, address, words) {
  paint(canvas, image)
  canvas.dataset.shown = address
  canvas.setAttribute("aria-label", words)
}

/** Whether somebody has asked for less motion. */
export function wantsStillness() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches
}

/** Says it to those who listen to the page. */
export function announce(text) {
  const region = document.getElementById("said")
  region.textContent = ""
  requestAnimationFrame(() => (region.textContent = text))
}

let fading = 0

/** Shows a line for a while, and says it. */
export function toast(text) {
  const line = document.getElementById("toast")
  line.textContent = text
  line.hidden = false
  clearTimeout(fading)
  fading = setTimeout(() => (line.hidden = true), 4000)
  announce(text)
}

/** Saves a file under a name. */
export function save(blob, name) {
  const url = URL.createObjectURL(blob)
  h("a", { href: url, download: name }).click()
  setTimeout(() => URL.revokeObjectURL(url), 10_000)
}

/** Copies a text, also where the browser trusts the page with no clipboard. */
export async function copyText(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text)
  const area = h("textarea", { value: text, class: "unseen" })
  document.body.append(area)
  area.select()
  const done = document.execCommand("copy")
  area.remove()
  if (!done) throw new Error("This browser does not let the page copy.")
}

/** Writes JSON into a file that is saved. */
export function saveText(text, name) {
  save(new Blob([text], { type: "application/json" }), name)
}

/** Calls back with each file that is dropped on the page, or pasted. */
export function onFile(take) {
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
    take(file)
  })
  addEventListener("paste", ({ clipboardData }) => {
    const [file] = clipboardData?.files ?? []
    if (file) take(file)
  })
}
