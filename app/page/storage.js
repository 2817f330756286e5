/** What only this browser keeps: favourites, the last pictures seen, preferences. */

import { checkedPicture, keyOf } from "./picture.js"

export const MOST_FAVOURITES = 500
const MOST_SEEN = 40

export const local = storage("localStorage")
export const session = storage("sessionStorage")

/** Returns the browser's storage, or one that forgets, where the browser keeps nothing. */
function storage(name) {
  try {
    globalThis[name].setItem("ganserve", "1")
    return globalThis[name]
  } catch {
    const entries = new Map()
    return {
      forgets: true,
      getItem: (key) => entries.get(key) ?? null,
      setItem: (key, value) => entries.set(key, value),
      removeItem: (key) => entries.delete(key),
    }
  }
}

/** Keeps a preference for the next visit. @param {string} name @param {boolean} on */
export function remember(name, on) {
  if (on) local.setItem(name, "1")
  else local.removeItem(name)
}

/** Tells whether a preference was kept. @param {string} name */
export function remembered(name) {
  return local.getItem(name) !== null
}

/** Tells whether all is forgotten when the page is left. */
export function forgets() {
  return local.forgets === true
}

/** A list of pictures, the newest first, each once, kept under a name: also by other tabs. */
export class PictureList {
  #storage
  #name
  #most
  alone = false // the browser has refused to keep it

  constructor(storage, name, most) {
    this.#storage = storage
    this.#name = `ganserve-${name}`
    this.#most = most
    /** @type {Picture[]} */
    this.pictures = []
    this.refresh()
  }

  /** Reads what other tabs have made of it. */
  refresh() {
    this.pictures = this.#read()
  }

  /** Calls back when another tab has changed it. @param {() => void} changed */
  onChange(changed) {
    globalThis.addEventListener?.("storage", ({ key, storageArea }) => {
      if (storageArea !== this.#storage || (key !== null && key !== this.#name)) return
      this.refresh()
      changed()
    })
  }

  has(picture) {
    const key = keyOf(picture)
    return this.pictures.some((one) => keyOf(one) === key)
  }

  /** Returns how many more it holds, before the oldest go. */
  get room() {
    return this.#most - this.pictures.length
  }

  /** Puts a picture first. */
  add(picture) {
    const key = keyOf(picture)
    const others = this.#read().filter((one) => keyOf(one) !== key)
    this.#write([picture, ...others].slice(0, this.#most))
  }

  remove(picture) {
    const key = keyOf(picture)
    this.#write(this.#read().filter((one) => keyOf(one) !== key))
  }

  clear() {
    this.#write([])
  }

  #read() {
    if (this.alone) return this.pictures
    try {
      return picturesIn(this.#storage.getItem(this.#name) ?? "").slice(0, this.#most)
    } catch {
      return this.pictures // a browser may keep nothing, and say so by failing
    }
  }

  #write(pictures) {
    this.pictures = pictures
    try {
      this.#storage.setItem(this.#name, fileOf(pictures))
    } catch {
      this.alone = true // kept as long as the page is open
    }
  }
}

export function favourites(storage = local) {
  return new PictureList(storage, "favourites", MOST_FAVOURITES)
}

export function lastSeen(storage = session) {
  return new PictureList(storage, "seen", MOST_SEEN)
}

/** Returns pictures as a JSON file. @param {Picture[]} pictures */
export function fileOf(pictures) {
  return JSON.stringify({ ganserve: 1, pictures }, null, 1)
}

/** Returns the pictures in such a file, without what is none. @throws {Error} it is no such file */
export function picturesIn(text) {
  if (text === "") return []
  let found
  try {
    found = JSON.parse(text)
  } catch {
    throw new Error("This is no JSON file.")
  }
  if (!Array.isArray(found?.pictures)) throw new Error("This is no list of favourites.")
  return found.pictures.map(checkedPicture).filter((picture) => picture !== null)
}
