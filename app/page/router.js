/**
 * From the state to its view.
 *
 *     generator -> what of the state it can draw -> view, loaded when it is first shown
 */

import { all, announce, button, byId, h, toast } from "./dom.js"
import { fitted } from "./fitting.js"

export class Router {
  /** @type {Map<string, View>} */
  #views = new Map()
  /** @type {View | null} */
  view = null
  /** @type {HTMLElement | null} what says that something failed */
  failure = null

  /** @param {Explorer} app */
  constructor(app) {
    this.app = app
  }

  /** Shows the state of the moment. */
  async render() {
    const { state } = this.app
    try {
      const view = await this.#ready(state)
      if (view && state === this.app.state) await this.#show(view, state)
    } catch (error) {
      if (state === this.app.state) this.fail(error)
    }
  }

  /** Returns the id of the generator that a state means, or of the nearest that is served. */
  idOf(state) {
    const { id, name } = this.app.generators.nearest(state.model)
    if (state.model && ![id, name].includes(state.model))
      toast(`${state.model.slice(0, 80)} is not served here; this is ${id}.`)
    state.model = id
    return id
  }

  /** @returns {Promise<any>} */
  async viewOf(name) {
    if (!this.#views.has(name)) {
      const found = await this.app.api.part(name)
      const View = found[name[0].toUpperCase() + name.slice(1)]
      if (!this.#views.has(name)) this.#views.set(name, new View(this.app))
    }
    return this.#views.get(name)
  }

  /** Tells of a failure above what is shown, which stays. @param {Error} error */
  fail(error, again = () => this.render()) {
    this.failure?.remove()
    const retry = button("Try again", null, again, { class: "button primary" })
    const text = h("p", {}, `This cannot be shown. ${error.message}`)
    this.failure = h("div", { class: "failure", role: "alert" }, text, retry)
    byId("main").prepend(this.failure)
  }

  /** Makes a state fit its generator: its view, or null where another state is shown instead. */
  async #ready(state) {
    const { app } = this
    const generator = await app.generators.get(this.idOf(state))
    if (state !== app.state) return null
    Object.assign(app, generator)
    const { fitting, left } = fitted(state, generator)
    const told = left.join(", ").slice(0, 200)
    if (told) toast(`Left out, as ${app.card.name} cannot draw it: ${told}`)
    Object.assign(state, fitting)
    if (state.picture && state.picture.seed === undefined && state.picture.text !== undefined) {
      await this.#findSeed(state)
      return null
    }
    app.store.keep()
    return this.viewOf(state.view)
  }

  /** Shows the picture whose seed is a text, once the host has said which seed that is. */
  async #findSeed(state) {
    const { app } = this
    const { text, truncation, edit } = state.picture
    try {
      const found = await app.pictureOf(text, state.picture.class)
      if (state !== app.state) return
      app.commit({ picture: { ...found, truncation, edit } }, { replace: true })
    } catch (error) {
      toast(error.message)
      app.commit({ view: "grid", picture: null }, { replace: true })
    }
  }

  async #show(view, state) {
    const before = this.view
    this.view = view
    this.failure?.remove()
    this.failure = null
    if (view !== before) {
      before?.hide?.()
      byId("main").replaceChildren(view.root)
      if (before) scrollTo(0, 0)
    }
    this.app.header.show(state)
    this.app.tray.show(state)
    await view.show(state)
    if (before && this.view && this.view !== before) this.#enter(this.view)
  }

  /** @param {View} view */
  #enter(view) {
    announce(document.title)
    const left = view.left?.()
    if (left) return left.focus()
    const start =
      all(view.root, "[data-start]").find((place) => place.checkVisibility()) ?? byId("main")
    start.focus({ preventScroll: true })
  }
}
