/**
 * The explorer: what it is made of, and what its views can do with pictures.
 *
 *     store: state, address, history -> router -> view
 */

import { Api, Generators } from "./api.js"
import { byId, onFile, showFocus, toast } from "./dom.js"
import { Header } from "./header.js"
import { keyOf, lookIn, plainPicture, titleOf, urlOf } from "./picture.js"
import { pixelsFor, pixelsOf, PIXELS_TOLD } from "./pixels.js"
import { Router } from "./router.js"
import { wholeNumber } from "./seeds.js"
import { Shortcuts } from "./shortcuts.js"
import { addressOf } from "./state.js"
import { favourites, lastSeen, local } from "./storage.js"
import { Store } from "./store.js"
import { Tray } from "./tray.js"

const PIXELS = "ganserve-pixels"
const LONGEST_ADDRESS = 6000 // it travels twice, also as Referer, and hosts take heads of 16 KiB

export class Explorer {
  /** @type {Promise<string> | null} */
  #asking = null // for an API key
  #settling = false // what the host serves is asked for anew
  /** @type {Card} */
  card // of the generator that draws
  /** @type {Direction[]} */
  directions = []

  live = false // a run is watched while it trains
  /** @type {Shortcuts | undefined} */
  shortcuts

  constructor() {
    const gone = () => this.#settle()
    this.api = new Api(showWait, () => this.#askKey(), gone)
    this.generators = new Generators(this.api)
    this.favourites = favourites()
    this.favourites.onChange(() => this.router.view?.marks?.())
    this.seen = lastSeen()
    this.store = new Store(() => this.router.render())
    this.router = new Router(this)
    this.header = new Header(this)
    this.tray = new Tray(this)
    byId("skip").addEventListener("click", (event) => {
      event.preventDefault() // it would be a place in the history
      byId("main").focus()
    })
  }

  async start() {
    const { generators, header, router } = this
    const grid = await router.viewOf("grid")
    grid.wait()
    byId("main").replaceChildren(grid.root)
    try {
      await generators.load()
    } catch (error) {
      return router.fail(error, () => this.start())
    }
    const { state } = this
    if (state.view === "grid") grid.drawAhead(router.idOf(state), state.grid)
    header.offer(generators)
    this.shortcuts ??= new Shortcuts(this)
    onFile(async (file) => (await router.viewOf("find")).read(file))
    await router.render()
    const next = () => router.viewOf("focus").catch(() => {}) // most likely
    for (const sign of ["pointermove", "keydown"]) addEventListener(sign, next, { once: true })
  }

  /** Goes on with what the host serves now, where it no longer has the generator that is shown. */
  async #settle() {
    if (this.#settling || !this.card) return
    this.#settling = true
    try {
      await this.generators.load()
      if (this.generators.list.some(({ id }) => id === this.card.id)) return
      this.header.offer(this.generators)
      await this.router.render()
    } catch (error) {
      toast(error.message)
    } finally {
      this.#settling = false
    }
  }

  get state() {
    return this.store.state
  }

  /** Shows a state that differs by some words. @param {Partial<State>} words */
  commit(words, options = {}) {
    return this.store.commit(words, options)
  }

  /** Shows a state in which some words of one part differ. @param {keyof State} part */
  change(part, words, options = {}) {
    return this.commit({ [part]: { ...Object(this.state[part]), ...words } }, options)
  }

  /** Shows a view. @param {string} view */
  go(view) {
    if (view !== this.state.view || this.router.failure) return this.commit({ view })
  }

  /** Shows one picture, large. @param {Picture} picture */
  open(picture) {
    return this.commit({ view: "focus", model: picture.model, picture })
  }

  useModel(id) {
    return this.commit({ view: "grid", model: id, grid: { ...this.state.grid, ...lookIn() } })
  }

  /** Returns the picture of a number or a text; of a text the service says which seed it is. */
  async pictureOf(text, class_ = "") {
    const { id } = this.card
    const number = wholeNumber(text)
    if (number !== null) return plainPicture(id, number, class_)
    const url = urlOf("/generate.png", { model: id, seed: text, class: class_ })
    const answer = await this.api.answer({ url })
    return plainPicture(id, answer.headers.get("Image-Seed"), class_, text)
  }

  /** Returns the class that a seed has by itself. @param {Picture} picture */
  async ownClass({ model, seed }) {
    const found = await this.api.json(urlOf(`/latents/${seed}.json`, { model })).catch(() => null)
    return found?.class ?? ""
  }

  /** @param {Picture} picture */
  toggleFavourite(picture) {
    const { favourites } = this
    favourites.refresh()
    const removed = favourites.has(picture)
    if (!removed && favourites.room === 0)
      return toast(`There is room for ${favourites.pictures.length} favourites; remove one first.`)
    if (removed) favourites.remove(picture)
    else favourites.add(picture)
    toast(removed ? "No favourite any more" : `Favourite: ${titleOf(picture)}`)
    this.router.view?.marks?.()
  }

  /** Puts a picture on the path, or takes it away. @param {Picture} picture */
  togglePin({ text, ...picture }) {
    const { path } = this.state
    const others = path.pins.filter((one) => keyOf(one) !== keyOf(picture))
    const pinned = others.length < path.pins.length
    const pins = pinned ? others : [...path.pins, picture]
    const next = { ...path, pins }
    if (pins.length > this.card.ranges.seeds_of_a_path) return toast("The path has no more room.")
    if (!pinned && addressOf({ ...this.state, view: "path", path: next }).length > LONGEST_ADDRESS)
      return toast("The path has no more room: its address would be too long.")
    this.commit({ path: next })
    this.router.view?.marks?.()
    toast(pinned ? "Unpinned" : `Pinned: ${pins.length} on the path`)
  }

  /** Tells whether a picture is on the path. @param {Picture} picture */
  isPinned(picture) {
    return this.state.path.pins.some((one) => keyOf(one) === keyOf(picture))
  }

  /** Returns how pixels are enlarged: as was chosen last, where the generator has that. */
  get pixels() {
    return pixelsFor(this.card, local.getItem(PIXELS))
  }

  /** Enlarges pixels in another way from now on. */
  usePixels(kind) {
    local.setItem(PIXELS, kind)
    toast(PIXELS_TOLD[kind])
    const { view } = this.router
    if (!view) return
    this.header.show(this.state)
    view.repaint?.()
  }

  /** Enlarges pixels in the next of the generator's ways. */
  otherPixels() {
    const kinds = pixelsOf(this.card)
    this.usePixels(kinds[(kinds.indexOf(this.pixels) + 1) % kinds.length])
  }

  /** Asks for an API key, once for all requests that need one. */
  #askKey() {
    this.#asking ??= this.api
      .part("api_key_dialog")
      .then(({ askKey }) => askKey())
      .finally(() => (this.#asking = null))
    return this.#asking
  }
}

/** Says that the service is waited for. @param {Wait | null} wait null: no longer */
function showWait(wait) {
  const line = byId("wait")
  line.hidden = wait === null
  if (wait === null) return
  const { reason, seconds, detail } = wait
  const what = reason === "busy" ? "The service is busy" : "The service does not answer"
  line.textContent = `${what}: asking again in ${Math.ceil(seconds)} s.`
  line.title = detail
}

showFocus()
new Explorer().start()
