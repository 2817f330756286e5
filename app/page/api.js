/**
 * The service as the page sees it: the public API, asked with patience.
 *
 * A service that is busy, not ready or out of reach is asked again after the time it names, and
 * the page is told meanwhile. A refusal is an error that says what the service said.
 */

import { session } from "./storage.js"

const MOST_TRIES = 20
const LONGEST_WAIT = 30 // seconds
const MOST_PIXELS = 2 ** 21 // of images that are kept: 8 MiB
const PASSING = [429, 502, 503, 504] // refusals that pass by themselves
const GONE = /no such generator/i

/** What the service has refused, in its own words. */
export class Refusal extends Error {
  constructor(status, detail) {
    super(detail)
    this.status = status
    this.gone = GONE.test(detail) // its generator
  }
}

export class Api {
  /** @type {Map<string, {coming: Promise<ImageBitmap>, pixels: number}>} the oldest first */
  #images = new Map()
  #pixels = 0 // of all of them
  #waiting = 0 // requests that are asked again
  #reloads = 0
  #key = ""

  /**
   * @param {(wait: Wait | null) => void} onWait told when a wait begins, and with null when
   *   nothing waits any more
   * @param {() => Promise<string>} askKey for an API key; empty if there is none to be had
   * @param {() => unknown} onGone told when the host has no longer the generator of a request
   */
  constructor(onWait, askKey, onGone = () => {}) {
    this.onWait = onWait
    this.askKey = askKey
    this.onGone = onGone
    this.#key = session.getItem("ganserve-key") ?? ""
  }

  /** Returns the JSON at a path. @param {string} path @returns {Promise<any>} */
  async json(path) {
    return (await this.answer({ url: path })).json()
  }

  /** Returns a drawn file. @param {Drawing} drawing @returns {Promise<Blob>} */
  async blob(drawing) {
    return (await this.answer(drawing)).blob()
  }

  /** Returns a drawn picture, kept for the next time. @returns {Promise<ImageBitmap>} */
  async image(drawing) {
    const name = drawing.url + (drawing.body ?? "")
    const kept = this.#images.get(name) ?? this.#begin(name, drawing)
    this.#images.delete(name)
    this.#images.set(name, kept) // the newest
    return kept.coming
  }

  #begin(name, drawing) {
    const kept = { coming: this.blob(drawing).then(createImageBitmap), pixels: 0 }
    kept.coming.then(
      ({ width, height }) => {
        kept.pixels = width * height
        this.#pixels += kept.pixels
        this.#leaveOldest()
      },
      () => this.#images.delete(name),
    )
    return kept
  }

  /** Keeps no more pixels than there is room for. */
  #leaveOldest() {
    for (const [name, { pixels }] of this.#images) {
      if (this.#pixels <= MOST_PIXELS) return
      if (pixels === 0) continue // it is still on its way
      this.#images.delete(name)
      this.#pixels -= pixels
    }
  }

  /** Loads a module of the page; waits for a host that is away. @param {string} name */
  async part(name) {
    try {
      return await import(`./${name}.js`).catch(async () => {
        await this.answer({ url: `/page/${name}.js` })
        return import(`./${name}.js?${++this.#reloads}`) // a browser may remember the failure
      })
    } catch {
      throw new Error("This part of the page did not arrive.")
    }
  }

  /** Returns the answer to a request, as soon as there is one. @param {Drawing} request */
  async answer(request, options = {}) {
    const one = { waits: false }
    try {
      return await this.#answer(request, options, one)
    } finally {
      if (one.waits) this.#waiting -= 1
      if (one.waits && this.#waiting === 0) this.onWait(null)
    }
  }

  /** @param {Drawing} request @param {RequestInit} options */
  async #answer({ url, body }, options, one) {
    for (let tries = 1; ; tries++) {
      const response = await this.#fetched(url, body, options)
      if (response?.ok) return response
      const detail = response ? await problemOf(response) : "The service does not answer."
      if (response?.status === 401 && (await this.#newKey())) continue
      const waits = !response || PASSING.includes(response.status)
      if (!waits || tries === MOST_TRIES) throw this.#refused(response?.status ?? 0, detail)
      if (!one.waits) this.#waiting += 1
      one.waits = true
      await this.#wait(response, tries, detail, options.signal)
    }
  }

  #refused(status, detail) {
    const refusal = new Refusal(status, detail)
    if (refusal.gone) this.onGone()
    return refusal
  }

  async #fetched(url, body, options) {
    /** @type {Record<string, string>} */
    const headers = {}
    if (body && !options.headers) headers["Content-Type"] = "application/json"
    if (this.#key) headers.Authorization = `Bearer ${this.#key}`
    const method = body ? "POST" : "GET"
    const all = { method, body, ...options, headers: { ...headers, ...options.headers } }
    try {
      return await fetch(`.${url}`, all) // beside the page, wherever a proxy shows it
    } catch (error) {
      if (error.name === "AbortError") throw error
      return null
    }
  }

  async #wait(response, tries, detail, signal) {
    const asked = Number(response?.headers.get("Retry-After"))
    const seconds = Math.min(LONGEST_WAIT, asked || 2 ** Math.min(tries - 1, 4))
    this.onWait({ reason: response ? "busy" : "away", seconds, detail })
    const apart = 0.25 * Math.random() // so that not all who wait come back at once
    await new Promise((resolve) => {
      setTimeout(resolve, 1000 * (seconds + apart))
      signal?.addEventListener("abort", resolve)
    })
  }

  async #newKey() {
    this.#key = await this.askKey()
    if (this.#key) session.setItem("ganserve-key", this.#key)
    return this.#key !== ""
  }
}

/** The generators that the host serves: which there are, and card and directions of each. */
export class Generators {
  /** @type {Map<string, Promise<Served>>} */
  #found = new Map()

  /** @param {Api} api */
  constructor(api) {
    this.api = api
    /** @type {{id: string, name: string}[]} */
    this.list = []
    this.first = ""
  }

  /** Asks the host which there are. */
  async load() {
    const { default: first, models } = await this.api.json("/models")
    this.first = first
    this.list = models
  }

  /** Returns that of an id or a name, else of that name with another hash, else the first. */
  nearest(wanted) {
    const name = wanted.split("@")[0]
    return (
      this.list.find(({ id, name }) => [id, name].includes(wanted)) ??
      this.list.find((one) => one.name === name) ??
      this.list.find(({ id }) => id === this.first) ??
      this.list[0]
    )
  }

  /** Returns card and directions of a generator, asked for once. @returns {Promise<Served>} */
  get(id) {
    const known = this.#found.get(id)
    if (known) return known
    const both = [`/models/${id}`, `/models/${id}/directions`].map((path) => this.api.json(path))
    const found = Promise.all(both).then(([card, { directions }]) => ({ card, directions }))
    found.catch(() => this.#found.delete(id))
    this.#found.set(id, found)
    return found
  }
}

async function problemOf(response) {
  try {
    const { detail, title } = await response.json()
    return detail ?? title
  } catch {
    return `The service answered ${response.status}.`
  }
}
