/** What can be copied of a picture, to be pasted elsewhere. */

import { describe, drawing, hasUrl } from "./picture.js"

const SHOWN = 256 // pixels a side, of a picture in another page

/** Returns scales that make a picture of so many pixels a side about as large as it is shown. */
export function scalesFor(side) {
  const once = Math.max(1, Math.min(16, Math.round(SHOWN / side)))
  return [once, Math.min(16, 2 * once)]
}

/**
 * Returns what there is to copy of a picture, by name.
 *
 * @param {Picture} picture
 * @param {{origin: string, side: number, page: string}} place where the service and the page are
 * @returns {Record<string, string>}
 */
export function snippets(picture, { origin, side, page }) {
  const [once, twice] = scalesFor(side)
  const at = (scale) => origin + drawing(picture, { scale }).url
  const { url, body } = drawing(picture, { scale: once })
  const name = fileName(picture, "png")
  const both = {
    link: page,
    curl: curl(origin + url, body, name),
    python: python(origin + url, body, name),
  }
  if (!hasUrl(picture)) return both
  const alt = attribute(describe(picture))
  const density =
    twice > once ? ` srcset="${attribute(at(once))} 1x, ${attribute(at(twice))} 2x"` : ""
  const shown = once * side
  return {
    ...both,
    url: at(once),
    html:
      `<img src="${attribute(at(once))}"${density} ` +
      `width="${shown}" height="${shown}" alt="${alt}">`,
    markdown: `![${describe(picture).replace(/[\\[\]]/g, "\\$&")}](${at(once)})`,
  }
}

/** Returns a file's name. @param {Picture} picture @param {string} extension */
export function fileName(picture, extension) {
  const name = picture.model.split("@")[0]
  const rest = picture.seed ?? (picture.mix ? "mix" : picture.plane ? "plane" : "found")
  return `${name}-${rest}.${extension}`
}

function curl(url, body, name) {
  const data = body ? ` \\\n  -H 'Content-Type: application/json' \\\n  -d ${quoted(body)}` : ""
  return `curl -o ${name} ${quoted(url)}${data}`
}

function python(url, body, name) {
  const text = (value) => JSON.stringify(value)
  const request = body
    ? `request = Request(${text(url)}, ${text(body)}.encode(), {"Content-Type": "application/json"})`
    : `request = ${text(url)}`
  return [
    "from pathlib import Path",
    `from urllib.request import ${body ? "Request, " : ""}urlopen`,
    "",
    request,
    `Path(${text(name)}).write_bytes(urlopen(request).read())`,
    "",
  ].join("\n")
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`
}

function attribute(text) {
  return text.replaceAll("&", "&amp;").replaceAll('"', "&quot;").replaceAll("<", "&lt;")
}
