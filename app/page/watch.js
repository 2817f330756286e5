/**
 * A run, watched while it trains: the view of Learn, fed by `train --watch` or `watch`, with pause,
 * single steps, and ways back. It speaks to the machine that it is on, and to nobody else.
 */

import { announce, attempt, button, byId, choice, div, h, relabel, showFocus } from "./dom.js"
import { Learn } from "./learn.js"

const EACH = 1500 // milliseconds between looks at the run

class Live {
  live = true
  card = { id: "", name: "", history: true }
  paused = false

  constructor() {
    this.generators = { list: [], get: async () => ({ card: this.card }) }
    this.api = {
      json: async (path) => (await fetched(path)).json(),
      image: async ({ url }) => createImageBitmap(await (await fetched(url)).blob()),
    }
    this.learn = new Learn(/** @type {any} */ (this))
    this.seen = h("p", { role: "status" })
    this.pause = button("Pause", "pause", () => this.#say(this.paused ? "go" : "pause"))
    this.step = button("One step", "right", () => this.#say("step"))
    this.places = choice([], "", () => {})
    this.places.setAttribute("aria-label", "Checkpoint")
    this.back = button("Go back to it", "undo", () => this.#say(`back/${this.places.value}`))
    this.bar = div("row", this.pause, this.step, this.places, this.back)
    const bar = div("row between bar", this.seen, this.bar)
    for (const id of ["within", "views"]) byId(id).hidden = true // it has no other views
    byId("main").replaceChildren(div("stacked", bar, this.learn.root))
    document.body.dataset.view = "learn"
  }

  async look() {
    try {
      const state = await (await fetched("/state.json")).json()
      this.#tell(state)
      this.card = { ...this.card, id: `${state.moments} of ${state.checkpoints}`, name: state.run }
      if (state.moments > 1) await this.learn.show()
    } catch {
      this.seen.textContent = "The run does not answer: it has ended, or its terminal is closed."
    }
    setTimeout(() => this.look(), EACH)
  }

  #tell({ run, images_seen: seen, images_per_second: pace, steered, paused, checkpoints }) {
    document.title = `${run} · ganserve`
    const doing = paused ? "Paused" : `${Math.round(pace)} a second`
    this.seen.textContent = `${run}: ${seen.toLocaleString("en")} pictures seen. ${doing}.`
    this.bar.hidden = !steered
    this.step.disabled = !paused
    this.paused = paused
    relabel(this.pause, paused ? "Go on" : "Pause")
    const texts = checkpoints.map((count) => [count, `${count.toLocaleString("en")} pictures`])
    const shown = JSON.stringify(texts)
    if (shown === this.shown) return
    this.shown = shown
    this.places.replaceChildren(...texts.map(([value, text]) => h("option", { value }, text)))
    this.places.hidden = this.back.hidden = checkpoints.length === 0
  }

  async #say(word) {
    await attempt(async () => {
      await fetched(`/${word}`, { method: "POST", headers: { "X-Watch": "1" } })
      announce(word)
      this.#tell(await (await fetched("/state.json")).json())
    })
  }
}

async function fetched(path, options = {}) {
  const name = path.includes("history") ? `/${path.split("/").pop()}` : path
  const response = await fetch(`.${name}`, options)
  if (!response.ok) throw new Error(`The run has refused (${response.status}).`)
  return response
}

showFocus()
new Live().look()
