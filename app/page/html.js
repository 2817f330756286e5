/** Lines of HTML that show pictures of this service in other pages. */

/** Returns where the service is, with a proxy's path, if any. @param {{href: string}} place */
export function originOf({ href }) {
  return new URL(".", href).href.slice(0, -1)
}

/** Returns the shortest tag that shows a picture. */
export function imageTag(origin, { url, alt, side }) {
  const address = attribute(origin + url)
  return `<img src="${address}" width="${side}" height="${side}" alt="${attribute(alt)}">`
}

/** Returns a text as it stands in an attribute. */
export function attribute(text) {
  return text.replaceAll("&", "&amp;").replaceAll('"', "&quot;").replaceAll("<", "&lt;")
}
