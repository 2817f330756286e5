/**
 * What the page shows, as text in its address and back: a link restores the view.
 *
 * The address holds what the view needs; what other views hold is kept in the browser's history.
 */

import {
  checkedPicture,
  generatorOf,
  lookIn,
  lookOf,
  mixText,
  MODEL,
  PLANE_MODES,
  readEdits,
  shortNumber,
  urlOf,
} from "./picture.js"
import { pinOf, pinText, placeOf, placeWords } from "./pins.js"
import { wholeNumber } from "./seeds.js"
import { VIEWS } from "./views.js"

export const WEIGHTS = [1, -1, 1] // of a mix that names none
export const EASES = ["linear", "in", "out", "in-out"]
export const MODES = [...PLANE_MODES, "spline"]
const MOST_PINS = 256 // the host says how many a path may have
const FASTEST = 60

/** Returns what the page shows at first. @returns {State} */
export function freshState() {
  return {
    view: "grid",
    model: "",
    grid: { seed: "", ...lookIn() },
    picture: null,
    plane: { seeds: [], x: 0.5, y: 0.5, mode: "", ...lookIn() },
    path: { pins: [], mode: "", ease: "in-out", loop: true, fps: 30 },
    mix: { seeds: [], weights: WEIGHTS, class: "" },
    names: { list: [], class: "" },
  }
}

/** Returns the address of a state. @param {State} state */
export function addressOf(state) {
  const { view, model } = state
  const parameters = { view: view === "grid" ? "" : view, model, ...PARTS[view]?.write(state) }
  return urlOf("/", parameters)
}

/** Returns the state of an address: `base` has what is not said, and bad words are left out. */
export function stateOf(search, base = freshState()) {
  const query = new URLSearchParams(search)
  const model = generatorOf(query.get("model") ?? base.model)
  const named = query.get("view") ?? ""
  const shown = isPicture(query) ? "focus" : "grid"
  const view = Object.hasOwn(VIEWS, named) ? named : shown
  const state = { ...base, view, model }
  Object.assign(state, PARTS[view]?.read(query, state))
  if (view === "focus" && !state.picture) state.view = "grid"
  return state
}

/** Returns a view and what is in it, checked against what an address may say. */
export function checkedState(found) {
  const state = stateOf(addressOf({ ...freshState(), ...found }).slice(1))
  const part = state.view === "focus" ? "picture" : state.view
  return { view: state.view, model: state.model, [part]: state[part] }
}

function isPicture(query) {
  return ["seed", "at", "mix", "z"].some((name) => query.has(name))
}

const PARTS = {
  grid: {
    write: ({ grid }) => ({ grid: grid.seed, ...lookOf(grid) }),
    read: (query, { grid }) => ({
      grid: { seed: wholeNumber(query.get("grid") ?? "") ?? grid.seed, ...readLook(query) },
    }),
  },
  focus: {
    write: ({ picture }) => (picture ? pictureWords(picture) : {}),
    read: (query, { model }) => ({ picture: readPicture(query, model) }),
  },
  plane: {
    write: ({ plane }) => ({
      corners: plane.seeds.join(","),
      x: shortNumber(plane.x),
      y: shortNumber(plane.y),
      mode: plane.mode,
      ...lookOf(plane),
    }),
    read: (query) => ({
      plane: {
        seeds: seedsOf(query.get("corners"), 4),
        x: numberOf(query.get("x"), 0, 1, 0.5),
        y: numberOf(query.get("y"), 0, 1, 0.5),
        mode: oneOf(PLANE_MODES, query.get("mode"), ""),
        ...readLook(query),
      },
    }),
  },
  path: {
    write: ({ path }) => ({
      pins: path.pins.map(pinText).join(","),
      mode: path.mode,
      ease: path.ease,
      loop: String(path.loop),
      fps: path.fps,
    }),
    read: (query, { path, model }) => ({
      path: {
        pins: query.has("pins") ? readPins(query, model) : path.pins,
        mode: oneOf(MODES, query.get("mode"), ""),
        ease: oneOf(EASES, query.get("ease"), path.ease),
        loop: query.has("loop") ? query.get("loop") === "true" : path.loop,
        fps: Math.round(numberOf(query.get("fps"), 1, FASTEST, path.fps)),
      },
    }),
  },
  mix: {
    write: ({ mix }) => ({
      of: mix.seeds.join(","),
      weights: mix.weights.join() === WEIGHTS.join() ? "" : mix.weights.join(","),
      class: mix.class,
    }),
    read: (query) => ({
      mix: {
        seeds: seedsOf(query.get("of"), 3),
        weights: weightsOf(query.get("weights")),
        class: query.get("class") ?? "",
      },
    }),
  },
  names: {
    write: ({ names }) => ({ names: names.list.join("\n"), class: names.class }),
    read: (query, { names }) => ({
      names: {
        list: query.has("names") ? namesOf(query.get("names")) : names.list,
        class: query.get("class") ?? "",
      },
    }),
  },
}

function pictureWords(picture) {
  const { seed, text, plane, mix, z } = picture
  return {
    seed,
    text,
    at: plane && placeWords(plane).join(","),
    mix: mix && mixText(mix),
    z: z?.join(","),
    ...lookOf(picture),
  }
}

function readPins(query, model) {
  const base = baseOf(query, model)
  const pins = query.get("pins").split(",", MOST_PINS)
  return pins.map((text) => pinOf(text, base)).filter((pin) => pin !== null)
}

/** Returns what an address says of a picture, except where it lies. */
function baseOf(query, model) {
  // without a hash the page puts in the generator that is meant
  return { model: MODEL.test(model) ? model : "x@000000000000", ...readLook(query) }
}

function readLook(query) {
  return {
    class: query.get("class") ?? "",
    truncation: numberOf(query.get("truncation"), 0, 1, 1),
    edit: readEdits(query.get("edit")),
  }
}

function readPicture(query, model) {
  const found = baseOf(query, model)
  const seed = query.get("seed")
  if (seed !== null) {
    const number = wholeNumber(seed)
    // a text is a seed too: which, the service says
    return number === null
      ? { ...found, text: seed }
      : checkedPicture({ ...found, seed: number, text: query.get("text") ?? "" })
  }
  if (query.has("at")) {
    return checkedPicture({ ...found, plane: placeOf(query.get("at").split(",")) })
  }
  if (query.has("mix")) return checkedPicture({ ...found, mix: query.get("mix") })
  return checkedPicture({ ...found, z: query.get("z")?.split(",").map(Number) })
}

function seedsOf(text, count) {
  const seeds = (text ?? "").split(",").map(wholeNumber)
  return seeds.length !== count || seeds.includes(null) ? [] : seeds
}

function weightsOf(text) {
  const weights = (text ?? "").split(",").map((word) => numberOf(word, -2, 2, NaN))
  return weights.length === 3 && weights.some(Boolean) && !weights.some(Number.isNaN)
    ? weights
    : WEIGHTS
}

/** Returns the names in a text, one a line, each once. */
export function namesOf(text) {
  const names = text.split("\n").map((name) => name.trim())
  return [...new Set(names.filter(Boolean))]
}

function numberOf(text, low, high, otherwise) {
  const number = text === null || text === "" ? NaN : Number(text)
  return number >= low && number <= high ? number : otherwise
}

function oneOf(words, word, otherwise) {
  return words.includes(word) ? word : otherwise
}
