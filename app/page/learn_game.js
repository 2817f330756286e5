/** A game: six real pictures, six drawn ones; who tells them apart better, you or the network? */

import { button, canvas, div, h, paintPart } from "./dom.js"

const EACH = 6
const ROUNDS = ["early", "in the middle", "at the end"]
const SHARES = [0.3, 0.55, 1] // of the moments

export class Game {
  constructor() {
    this.board = h("div", { class: "tiles board", role: "group", "aria-label": "Twelve pictures" })
    this.score = h("p", { role: "status" })
    this.check = button("Check", null, () => this.#check(), { class: "button primary" })
    this.rounds = ROUNDS.map((name, round) => {
      const words = { type: "button", class: "chip", onclick: () => this.#deal(round) }
      return h("button", words, name)
    })
    this.again = button("Others", "dice", () => this.#deal(this.round))
    const text = "Six of these are real and six were drawn. Press those that you think were drawn."
    this.root = h(
      "section",
      { class: "game" },
      h("h2", {}, "Real or drawn?"),
      h("p", {}, text),
      h("div", { class: "row chips", role: "group", "aria-label": "When in the run" }, this.rounds),
      this.board,
      div("row", this.check, this.again),
      this.score,
    )
    this.round = 0
    this.turn = 0
    /** @type {any[]} */
    this.cards = []
    /** @type {any} */
    this.history = null
    /** @type {ImageBitmap | null} */
    this.sheet = null
  }

  offer(history, sheet) {
    Object.assign(this, { history, sheet, turn: 0 })
    this.root.hidden = !history.reals || !history.verdicts.some(Boolean)
    if (!this.root.hidden) this.#deal(0)
  }

  #deal(round) {
    const { history, rounds } = this
    this.round = round
    for (const [place, chip] of rounds.entries()) chip.ariaPressed = String(place === round)
    const last = history.moments.length - 1
    const wanted = Math.round(SHARES[round] * last)
    const judged = history.verdicts.map((one, place) => (one ? place : -1)).filter((n) => n >= 0)
    this.moment = judged.reduce((a, b) => (Math.abs(b - wanted) < Math.abs(a - wanted) ? b : a))
    const from = (EACH * this.turn) % history.grid ** 2
    this.turn += 1
    const places = Array.from({ length: EACH }, (_, step) => from + step)
    const { real, fake } = history.verdicts[this.moment]
    const cards = places.flatMap((place) => [
      { drawn: false, place, verdict: real[place], moment: last + 1 },
      { drawn: true, place, verdict: fake[place], moment: this.moment },
    ])
    this.cards = shuffled(cards).map((card, place) => ({ ...card, ...this.#card(card, place) }))
    this.board.replaceChildren(...this.cards.map(({ root }) => root))
    this.check.disabled = false
    this.score.textContent = ""
  }

  #card({ moment, place }, number) {
    const { side, grid, across } = this.history
    const block = side * grid
    const x = (moment % across) * block + (place % grid) * side
    const y = Math.floor(moment / across) * block + Math.floor(place / grid) * side
    const picture = canvas()
    paintPart(picture, this.sheet, x, y, side)
    const words = { type: "button", class: "tile", "aria-pressed": "false" }
    const root = h("button", { ...words, "aria-label": `Picture ${number + 1}` }, picture)
    root.addEventListener("click", () => {
      if (!this.check.disabled) root.ariaPressed = String(root.ariaPressed !== "true")
    })
    return { root }
  }

  #check() {
    this.check.disabled = true
    const doubted = [...this.cards].sort((a, b) => a.verdict - b.verdict).slice(0, EACH)
    let [mine, its] = [0, 0]
    for (const card of this.cards) {
      mine += Number((card.root.ariaPressed === "true") === card.drawn)
      its += Number(doubted.includes(card) === card.drawn)
      card.root.classList.add(card.drawn ? "drawn" : "real")
      card.root.ariaLabel += card.drawn ? ": drawn" : ": real"
    }
    const text = `${mine} of ${this.cards.length} right; the discriminator, ${ROUNDS[this.round]}: ${its}.`
    this.score.textContent = `You have ${text} Framed ones were drawn.`
  }
}

function shuffled(list) {
  const found = [...list]
  for (let place = found.length - 1; place > 0; place--) {
    const other = crypto.getRandomValues(new Uint32Array(1))[0] % (place + 1)
    ;[found[place], found[other]] = [found[other], found[place]]
  }
  return found
}
