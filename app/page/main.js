/**
 * The explorer: what is shown is one state, which is also the page's address.
 *
 *     state -> address, history -> view
 *
 * Back, forward, undo and redo are all the browser's own history.
 */

import { Api } from "./api.js"
import { announce, button, choice, h, icon, onFile, toast } from "./dom.js"
import { Grid } from "./grid.js"
import { favourites, lastSeen, remember, remembered, session } from "./kept.js"
import { Keys } from "./keys.js"
import {
  changed,
  describe,
  keyOf,
  lookIn,
  plainPicture,
  shortNumber,
  titleOf,
  urlOf,
} from "./picture.js"
import { wholeNumber } from "./seeds.js"
import { addressOf, stateOf } from "./state.js"

// each view but the first comes when somebody wants it
const VIEWS = {
  grid: ["Pictures", "grid", async () => Grid],
  plane: ["Plane", "plane", async () => (await import("./plane.js")).Plane],
  path: ["Path", "path", async () => (await import("./path.js")).Path],
  mix: ["Mix", "mix", async () => (await import("./mix.js")).Mix],
  find: ["Find", "find", async () => (await import("./find.js")).Find],
  saved: ["Saved", "saved", async () => (await import("./saved.js")).Saved],
  models: ["Models", "models", async () => (await import("./models.js")).Models],
  focus: ["Picture", "grid", async () => (await import("./focus.js")).Focus],
}
const FINE = 48 // pixels a side, from which small pictures are hardly enlarged
const SMOOTH = "ganserve-smooth"
const LONGEST_ADDRESS = 6000 // it travels twice, also as Referer, and hosts take heads of 16 KiB
const LAST = "ganserve-last" // the place in the history of what came last

class Explorer {
  constructor() {
    this.api = new Api(
      (wait) => this.#wait(wait),
      () => this.#key(),
    )
    this.favourites = favourites()
    this.seen = lastSeen()
    this.cards = new Map()
    this.views = new Map()
    this.index = history.state?.index ?? 0
    document.documentElement.classList.toggle("smooth", remembered(SMOOTH))
    this.#header()
    addEventListener("popstate", ({ state }) => {
      this.index = state?.index ?? this.index
      this.state = state?.shown ?? stateOf(location.search, this.state)
      this.written = state ? addressOf(this.state) : ""
      this.#render()
    })
    document.querySelector(".skip").addEventListener("click", (event) => {
      event.preventDefault() // it would be a place in the history
      main.focus()
    })
  }

  async start() {
    this.state = history.state?.shown ?? stateOf(location.search)
    const grid = await this.#viewOf("grid")
    grid.wait()
    main.replaceChildren(grid.root)
    try {
      const { default: first, models } = await this.api.json("/models")
      this.models = models
      this.first = first
    } catch (error) {
      return this.#broken(error)
    }
    if (this.state.view === "grid") grid.drawAhead(this.#served(this.state), this.state.grid)
    this.#modelList()
    this.keyboard = new Keys(this, this.#keys())
    onFile(async (file) => (await this.#viewOf("find")).read(file))
    await this.#render()
    VIEWS.focus[2]().catch(() => {}) // what is wanted next, most likely
  }

  /** Shows a state that differs by some words; the one before is what Back leads to. */
  commit(words, { replace = false } = {}) {
    this.state = { ...this.state, ...words }
    if (!replace) this.index += 1
    this.#write(replace)
    return this.#render()
  }

  /** Shows a view. */
  go(view) {
    if (view !== this.state.view || !this.view) return this.commit({ view })
  }

  /** Shows one picture, large. */
  open(picture) {
    return this.commit({ view: "focus", model: picture.model, picture })
  }

  useModel(id) {
    return this.commit({ view: "grid", model: id, grid: { ...this.state.grid, ...lookIn() } })
  }

  undo() {
    if (this.index > 0) history.back()
    else toast("Nothing to undo")
  }

  redo() {
    if (this.index < Number(session.getItem(LAST))) history.forward()
    else toast("Nothing to redo")
  }

  /** The picture of a number or a text; of a text the service says which seed it is. */
  async pictureOf(text, class_ = "") {
    const { id } = this.card
    const number = wholeNumber(text)
    if (number !== null) return plainPicture(id, number, class_)
    const url = urlOf("/generate.png", { model: id, seed: text, class: class_ })
    const answer = await this.api.answer({ url })
    return plainPicture(id, answer.headers.get("Image-Seed"), class_, text)
  }

  /** The class that a seed has by itself. */
  async ownClass({ model, seed }) {
    const found = await this.api.json(urlOf(`/latents/${seed}.json`, { model })).catch(() => null)
    return found?.class ?? ""
  }

  /** Card and directions of a generator, asked for once. */
  async cardOf(id) {
    if (!this.cards.has(id)) {
      const both = Promise.all([
        this.api.json(`/models/${id}`),
        this.api.json(`/models/${id}/directions`),
      ])
      const found = both.then(([card, { directions }]) => ({ card, directions }))
      found.catch(() => this.cards.delete(id))
      this.cards.set(id, found)
    }
    return this.cards.get(id)
  }

  toggleFavourite(picture) {
    const { favourites } = this
    const kept = favourites.has(picture)
    if (!kept && favourites.room === 0)
      return toast(`There is room for ${favourites.pictures.length} favourites; remove one first.`)
    if (kept) favourites.remove(picture)
    else favourites.add(picture)
    toast(kept ? "No favourite any more" : `Favourite: ${titleOf(picture)}`)
    this.#marks()
  }

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
    toast(pinned ? "Unpinned" : `Pinned: ${pins.length} on the path`)
  }

  /** Whether a picture is on the path. */
  isPinned(picture) {
    return this.state.path.pins.some((one) => keyOf(one) === keyOf(picture))
  }

  /** Shows enlarged pixels as squares, or smoothly. */
  toggleSmooth() {
    const smooth = document.documentElement.classList.toggle("smooth")
    remember(SMOOTH, smooth)
    toast(smooth ? "Enlarged smoothly" : "Every pixel a square")
    this.#marks()
  }

  say(text) {
    toast(text)
  }

  async #render() {
    const { state } = this
    const { view: before } = this
    let found
    try {
      found = await this.cardOf(this.#served(state))
    } catch (error) {
      return this.#broken(error)
    }
    if (state !== this.state) return // something later is shown by now
    Object.assign(this, found, { searches: Boolean(found.card.projection) })
    if (!(await this.#settled(state))) return
    if (addressOf(state) !== this.written) this.#write(true)
    const view = await this.#viewOf(state.view).catch(() => null)
    if (state !== this.state) return
    if (!view) return this.#broken(new Error("This part of the page did not arrive."))
    this.view = view
    if (this.view !== before) {
      before?.hide?.()
      main.replaceChildren(this.view.root)
      if (before) scrollTo(0, 0)
    }
    this.#title(state)
    try {
      await this.view.show(state)
    } catch (error) {
      if (state === this.state) this.#broken(error)
    }
    if (before && this.view && this.view !== before) this.#enter()
  }

  async #viewOf(name) {
    if (!this.views.has(name)) {
      const View = await VIEWS[name][2]()
      if (!this.views.has(name)) this.views.set(name, new View(this))
    }
    return this.views.get(name)
  }

  /** The generator that a state means, or the nearest that is served. */
  #served(state) {
    const { models } = this
    const name = state.model.split("@")[0]
    const exact = models.find(({ id, name }) => [id, name].includes(state.model))
    const other =
      models.find((one) => one.name === name) ?? models.find(({ id }) => id === this.first)
    const model = (exact ?? other).id
    if (state.model && !exact)
      toast(`${state.model.slice(0, 80)} is not served here; this is ${model}.`)
    state.model = model
    return model
  }

  /** Makes a state fit the generator: false where another is on its way instead. */
  async #settled(state) {
    const left = Object.fromEntries(Object.keys(VIEWS).map((view) => [view, new Set()]))
    for (const part of ["grid", "plane", "mix"])
      state[part] = { ...state[part], ...this.#known(state[part], left[part]) }
    if (state.view === "path") this.#settlePins(state, left.path)
    const picture = state.picture && this.#fitted(state.picture, left.focus)
    if (state.picture && !picture) left.focus.add("the picture")
    const told = [...left[state.view]].join(", ").slice(0, 200)
    if (told) toast(`Left out, as ${this.card.name} cannot draw it: ${told}`)
    state.picture = picture
    if (!picture) {
      if (state.view === "focus") state.view = "grid"
      return true
    }
    if (picture.text === undefined || picture.seed !== undefined) return true
    try {
      const { truncation, edit } = picture
      const found = await this.pictureOf(picture.text, picture.class)
      if (state === this.state)
        this.commit({ picture: { ...found, truncation, edit } }, { replace: true })
    } catch (error) {
      toast(error.message)
      this.commit({ view: "grid", picture: null }, { replace: true })
    }
    return false
  }

  /** The picture as this generator draws it, without what it does not have; null if it cannot. */
  #fitted(picture, left) {
    const { card } = this
    const found = changed(picture, { model: card.id, ...this.#known(picture, left) })
    if (!found.z) return found
    const drawn = found.z.length === card.z_dim && (found.class || card.classes.length === 0)
    return drawn ? found : null // of itself a latent has no class
  }

  /** Of a look what this generator has; what it has not is put among what is left out. */
  #known(look, left) {
    const { class: class_, truncation, edit } = lookIn(look)
    const [low, high] = this.card.ranges.edit
    const ids = this.directions.map(({ id }) => id)
    const steps = Object.entries(edit).filter(([id, step]) => {
      const has = ids.includes(id) && step >= low && step <= high
      if (!has) left.add(`${id}:${shortNumber(step)}`)
      return has
    })
    const { classes } = this.card
    const numbered = /^[0-9]+$/.test(class_) ? classes[class_] : undefined
    const known = classes.includes(class_) ? class_ : (numbered ?? "")
    if (class_ && !known) left.add(class_)
    return { class: known, truncation, edit: Object.fromEntries(steps) }
  }

  #settlePins(state, left) {
    const { pins } = state.path
    const fitted = pins.map((pin) => this.#fitted(pin, left)).filter((pin) => pin !== null)
    state.path = { ...state.path, pins: fitted }
    const lost = pins.length - fitted.length
    if (lost) left.add(`${lost} of ${pins.length} pins`)
  }

  #write(replace) {
    const entry = { shown: this.state, index: this.index }
    this.written = addressOf(this.state)
    if (replace) history.replaceState(entry, "", this.written)
    else history.pushState(entry, "", this.written)
    if (!replace) session.setItem(LAST, String(this.index))
  }

  #title({ view, picture }) {
    const name = view === "focus" ? describe(picture) : VIEWS[view][0]
    document.title = `${name} · ganserve`
    document.body.dataset.view = view
    document.body.classList.toggle("fine", this.card.width >= FINE)
    const current = view === "focus" ? "grid" : view
    for (const link of this.links) {
      if (link.dataset.view === current) link.setAttribute("aria-current", "page")
      else link.removeAttribute("aria-current")
    }
    if (this.list) this.list.value = this.card.id
    const pins = this.state.path.pins.length
    this.pins.textContent = pins || ""
    this.pins.hidden = pins === 0
  }

  #enter() {
    announce(document.title)
    const places = [...this.view.root.querySelectorAll("[data-start]")]
    const start = places.find((place) => place.checkVisibility()) ?? main
    start.focus({ preventScroll: true })
  }

  #marks() {
    this.view.marks?.()
  }

  #header() {
    this.pins = h("span", { class: "count", hidden: true })
    this.links = Object.entries(VIEWS)
      .filter(([view]) => view !== "focus")
      .map(([view, [name, drawn]]) => {
        const words = { href: `/?view=${view}`, "data-view": view }
        const onclick = (event) => {
          if (event.ctrlKey || event.metaKey || event.shiftKey || !this.state) return
          event.preventDefault()
          this.go(view)
        }
        return h(
          "a",
          { ...words, onclick },
          icon(drawn),
          h("span", {}, name),
          view === "path" && this.pins,
        )
      })
    document.getElementById("views").replaceChildren(...this.links)
    const bare = { shown: false }
    this.tools = document.getElementById("tools")
    this.tools.append(
      button("Undo", "undo", () => this.undo(), { ...bare, keys: "Z" }),
      button("Redo", "redo", () => this.redo(), { ...bare, keys: "Shift + Z" }),
      button("Keys", "help", () => this.keyboard?.help(), { ...bare, keys: "?" }),
    )
  }

  #modelList() {
    if (this.models.length < 2) return
    this.list = choice(
      this.models.map(({ id, name }) => [id, name]),
      this.first,
      (id) => this.commit({ model: id, ...(this.state.view === "models" ? { view: "grid" } : {}) }),
    )
    this.list.setAttribute("aria-label", "Model")
    this.tools.prepend(this.list)
  }

  #keys() {
    const withShown = (act) => {
      const picture = this.#shown()
      if (picture) act(picture)
      else toast("Open a picture, or point at one.")
    }
    const go = (view, place) => [String(place + 1), [VIEWS[view][0], () => this.go(view)]]
    const views = Object.keys(VIEWS).filter((view) => view !== "focus")
    return {
      ...Object.fromEntries(views.map(go)),
      x: ["Smooth or square pixels", () => this.toggleSmooth()],
      f: ["Favourite", () => withShown((picture) => this.toggleFavourite(picture))],
      p: ["Pin to the path", () => withShown((picture) => this.togglePin(picture))],
      z: ["Undo", () => this.undo()],
      "Shift+Z": ["Redo", () => this.redo()],
      Escape: ["Back to the pictures", () => this.go("grid")],
      "?": ["These keys", () => this.keyboard.help()],
    }
  }

  /** The picture that somebody means: the one shown, or that of many with focus or pointer. */
  #shown() {
    const tile = document.activeElement.closest("button.tile")
    return this.view.current?.() ?? (tile ?? document.querySelector("button.tile:hover"))?.picture
  }

  #wait(wait) {
    const line = document.getElementById("wait")
    line.hidden = wait === null
    if (wait === null) return
    const { reason, seconds, detail } = wait
    const what = reason === "busy" ? "The service is busy" : "The service does not answer"
    line.textContent = `${what}: asking again in ${Math.ceil(seconds)} s.`
    line.title = detail
  }

  /** Asks for an API key, once for all who need one. */
  #key() {
    this.asking ??= import("./asking.js")
      .then(({ askKey }) => askKey())
      .finally(() => (this.asking = null))
    return this.asking
  }

  #broken(error) {
    main.replaceChildren(
      h(
        "div",
        { class: "empty", role: "alert" },
        h("h1", {}, "This cannot be shown"),
        h("p", {}, error.message),
        h("a", { class: "button primary", href: "/" }, "Begin anew"),
      ),
    )
    this.view = null
  }
}

const main = document.getElementById("main")
new Explorer().start()
