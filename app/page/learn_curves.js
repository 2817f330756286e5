/** The curves of a run, and what the discriminator made of the pictures of one moment. */

import { canvas, contextOf, div, h } from "./dom.js"

const NAMES = {
  d_real: ["D(real): how real it finds real pictures", "--accent"],
  d_fake: ["D(drawn): how real it finds drawn ones", "--warn"],
  loss_d: ["loss of the discriminator", "--accent"],
  loss_g: ["loss of the generator", "--warn"],
  real: ["real pictures", "--accent"],
  fake: ["drawn ones", "--warn"],
}
const PAIRS = [
  ["d_real", "d_fake"],
  ["loss_d", "loss_g"],
]
const [WIDTH, HEIGHT] = [480, 120]
const BINS = 16

export class Curves {
  /** @param {(moment: number) => void} choose takes the moment that is pressed on */
  constructor(choose) {
    this.choose = choose
    this.root = div("curves")
    /** @type {{names: string[], drawn: HTMLCanvasElement, root: HTMLElement}[]} */
    this.charts = []
    /** @type {any} */
    this.history = null
    this.judged = canvas()
  }

  offer(history) {
    this.history = history
    const { curves } = history
    const pairs = PAIRS.filter((names) => names.every((name) => name in curves))
    this.charts = pairs.map((names) => this.#chart(names))
    this.judged = canvas({ width: WIDTH, height: HEIGHT, role: "img" })
    const has = history.verdicts.some(Boolean)
    const ends = div("row between name", h("span", {}, "looks drawn"), h("span", {}, "looks real"))
    const judged = [caption(["real", "fake"], "Its verdicts at this moment"), this.judged, ends]
    const verdicts = has && h("figure", {}, judged)
    this.root.replaceChildren(...this.charts.map(({ root }) => root), verdicts || "", this.#table())
  }

  #chart(names) {
    const drawn = canvas({ width: WIDTH, height: HEIGHT, class: "chart" })
    drawn.addEventListener("click", ({ offsetX }) => {
      const { moments } = this.history
      const seen = (offsetX / drawn.clientWidth) * last(moments)
      const away = moments.map((count) => Math.abs(count - seen))
      this.choose(away.indexOf(Math.min(...away)))
    })
    return { names, drawn, root: h("figure", {}, caption(names), drawn) }
  }

  /** Marks a moment on every curve. @param {number} moment */
  mark(moment) {
    const { curves, moments, verdicts } = this.history
    for (const { names, drawn } of this.charts) {
      const lines = names.map((name) => curves[name])
      const [low, high] = [Math.min(0, ...lines.flat()), Math.max(1, ...lines.flat())]
      const x = (count) => (count / last(moments)) * WIDTH
      const y = (value) => HEIGHT - 4 - ((value - low) / (high - low)) * (HEIGHT - 8)
      const context = cleared(drawn)
      for (const [place, line] of lines.entries()) {
        context.strokeStyle = colour(NAMES[names[place]][1])
        context.setLineDash(place ? [6, 3] : [])
        context.beginPath()
        line.forEach((value, at) => context.lineTo(x(curves.images_seen[at]), y(value)))
        context.stroke()
      }
      context.setLineDash([])
      context.strokeStyle = colour("--edge")
      context.strokeRect(x(moments[moment]), 0, 0, HEIGHT)
    }
    if (verdicts[moment]) this.#judge(verdicts[moment])
  }

  /** Draws how many pictures got which verdict: real ones above the line, drawn ones below. */
  #judge({ real, fake }) {
    const both = [...real, ...fake]
    const [low, high] = [Math.min(...both), Math.max(...both)]
    const context = cleared(this.judged)
    const width = WIDTH / BINS
    const counts = [real, fake].map((values) => {
      const bins = Array(BINS).fill(0)
      for (const value of values)
        bins[Math.min(BINS - 1, Math.floor(((value - low) / (high - low || 1)) * BINS))] += 1
      return bins
    })
    const most = Math.max(...counts.flat())
    for (const [place, bins] of counts.entries()) {
      context.fillStyle = colour(place ? "--warn" : "--accent")
      bins.forEach((count, bin) => {
        const height = (count / most) * (HEIGHT / 2)
        context.fillRect(bin * width + 1, HEIGHT / 2 - (place ? 0 : height), width - 2, height)
      })
    }
    const right = real.filter((value) => value > middle(both)).length
    const text = `${right} of ${real.length} real pictures look more real to it than half of all`
    this.judged.setAttribute("aria-label", text)
  }

  /** Returns the same in numbers, for readers. */
  #table() {
    const { curves } = this.history
    const names = Object.keys(curves)
    const rows = curves.images_seen.map((_, place) =>
      h(
        "tr",
        {},
        names.map((name) => h("td", {}, curves[name][place].toLocaleString("en"))),
      ),
    )
    const every = rows.filter((_, place) => place % 8 === 0)
    const head = names.map((name) => h("th", { scope: "col" }, name.replace("_", " ")))
    const table = h("table", {}, h("thead", {}, h("tr", {}, head)), h("tbody", {}, every))
    return h("details", {}, h("summary", {}, "The curves in numbers"), div("scroll", table))
  }
}

function caption(names, text = "") {
  const lines = names.map((name, place) =>
    h("span", { class: place ? "drawn" : "real" }, NAMES[name][0]),
  )
  return h("figcaption", {}, text && h("strong", {}, text), lines)
}

function cleared(drawn) {
  const context = contextOf(drawn)
  context.clearRect(0, 0, WIDTH, HEIGHT)
  context.lineWidth = 2
  return context
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name)
}

function middle(values) {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]
}

function last(list) {
  return list[list.length - 1]
}
