/** Laws of the page's modules that touch no document. */

import assert from "node:assert/strict"
import { test } from "node:test"

import { fitted } from "../../app/page/fitting.js"
import * as interpolation from "../../app/page/interpolation.js"
import { LatestOnly } from "../../app/page/latest_only.js"
import * as picture from "../../app/page/picture.js"
import * as pins from "../../app/page/pins.js"
import * as pixels from "../../app/page/pixels.js"
import * as recipe from "../../app/page/recipe.js"
import * as seeds from "../../app/page/seeds.js"
import { embedding, fileName, ofPicture, snippets } from "../../app/page/snippets.js"
import { addressOf, checkedState, freshState, stateOf } from "../../app/page/state.js"
import * as storage from "../../app/page/storage.js"
import { VARIATIONS, variations } from "../../app/page/variations.js"
import { NAVIGATION, VIEWS } from "../../app/page/views.js"

const MODEL = "tiny@0123456789ab"
const LAST = "9223372036854775807"
const EDITED = {
  ...picture.plainPicture(MODEL, LAST, "red panda"),
  truncation: 0.7,
  edit: { d1: -2.5 },
}
const UPSCALED = `${MODEL}-ba9876543210`
const SMALL = { width: 28, upscaler: null }
const SHARP = { width: 64, upscaler: { id: UPSCALED, scales: [2, 4] } }
const PLACE = { seeds: ["1", "2", "3", LAST], x: 0.25, y: 1 }
const PICTURES = {
  plain: picture.plainPicture(MODEL, "42"),
  named: picture.plainPicture(MODEL, "42", "", 'ada, or [so] & "more"'),
  edited: EDITED,
  place: { model: MODEL, plane: PLACE, truncation: 1, edit: { d0: 1 } },
  straight: { model: MODEL, plane: { ...PLACE, mode: "lerp" }, truncation: 1, edit: {} },
  mix: {
    model: MODEL,
    mix: [
      ["1", 1],
      [LAST, -1],
      ["3", 0.5],
    ],
    truncation: 1,
    edit: {},
  },
  found: { model: MODEL, z: [0.5, -1, 0.0312], class: "cat", truncation: 1, edit: {} },
}

test("a seed keeps all its digits", () => {
  assert.equal(seeds.wholeNumber(LAST), LAST)
  assert.equal(seeds.wholeNumber("9223372036854775808"), null)
  assert.equal(seeds.wholeNumber("007"), "7")
  assert.equal(seeds.seedAfter("9007199254740993", 1), "9007199254740994")
  assert.equal(seeds.seedAfter(LAST, 1), LAST)
  assert.equal(seeds.seedAfter("0", -1), "0")
})

test("a seed that the service would refuse is refused here", () => {
  for (const text of [
    "",
    " ",
    "-1",
    "1.5",
    "1_000",
    "1,2",
    "٣",
    LAST + "0",
    "a\u0007",
    "x".repeat(257),
  ]) {
    assert.notEqual(seeds.seedProblem(text), "", JSON.stringify(text))
  }
  for (const text of ["0", LAST, "ada", "née", "7 of 9", "😀", "x".repeat(256)]) {
    assert.equal(seeds.seedProblem(text), "", JSON.stringify(text))
  }
})

test("a random seed leaves room for those after it", () => {
  for (let time = 0; time < 100; time++) {
    assert.ok(Number(seeds.randomSeed(2 ** 32 - 1)) === 0)
  }
})

test("an address restores its view", () => {
  const views = Object.entries(PICTURES).map(([name, one]) => [
    name,
    { view: "focus", picture: one },
  ])
  views.push(
    ["grid", { grid: { seed: "17", ...picture.lookIn({ class: "dog" }) } }],
    ["sheet", { grid: { seed: LAST, ...picture.lookIn(EDITED) } }],
    ["plane", { view: "plane", plane: { ...PLACE, mode: "", ...picture.lookIn() } }],
    ["map", { view: "plane", plane: { ...PLACE, mode: "slerp", ...picture.lookIn(EDITED) } }],
    ["mix", { view: "mix", mix: { seeds: ["1", "2", LAST], weights: [0.5, 0.5, 0], class: "" } }],
    ["names", { view: "names", names: { list: ["ada", "a, b & c"], class: "cat" } }],
    ["saved", { view: "saved" }],
  )
  const { named, ...others } = PICTURES
  const path = { pins: Object.values(others), mode: "spline", ease: "out", loop: false, fps: 12 }
  views.push(["path", { view: "path", path }])
  for (const [name, words] of views) {
    const state = { ...freshState(), model: MODEL, ...words }
    assert.deepEqual(stateOf(addressOf(state).slice(1)), state, name)
  }
})

test("a pin is written to be read, and says all of its picture", () => {
  const steered = { ...picture.plainPicture(MODEL, "8", "kitten"), truncation: 0.7 }
  const texts = {
    3: picture.plainPicture(MODEL, "3"),
    "8~kitten~t0.7~d0:1.5~d3:-2": { ...steered, edit: { d0: 1.5, d3: -2 } },
    [`1:1_${LAST}:-1_3:0.5`]: PICTURES.mix,
    [`at1_2_3_${LAST}_0.25_1~d0:1`]: PICTURES.place,
    [`at1_2_3_${LAST}_0.25_1_lerp`]: PICTURES.straight,
    "z0.5_-1_0.0312~cat": PICTURES.found,
  }
  for (const [text, one] of Object.entries(texts)) {
    assert.equal(pins.pinText(one), text)
    assert.deepEqual(pins.pinOf(text, { model: MODEL }), one)
  }
  for (const name of ["t1", "d0:1", "=", "=t", "100%", "a, b", "~~", "%7e", "red panda", "é"]) {
    const one = picture.plainPicture(MODEL, "3", name)
    assert.deepEqual(pins.pinOf(pins.pinText(one), { model: MODEL }), one, name)
    const path = { ...freshState().path, pins: [one, texts[3]] }
    const state = { ...freshState(), view: "path", model: MODEL, path }
    assert.deepEqual(stateOf(addressOf(state).slice(1)), state, name)
  }
  const none = ["", "x", "-1", "3~t2", "1:11", "at1_2_3_0.5_0.5", "at1_2_3_4_1_1_x", "zx"]
  for (const text of [...none, "1:_2", "1:2:3"])
    assert.equal(pins.pinOf(text, { model: MODEL }), null, text)
})

test("an old link to a path gives every pin the one look", () => {
  const { pins: found } = stateOf(
    `?view=path&model=${MODEL}&pins=3,8&class=cat&truncation=0.5&edit=d0:1,d7:-0.25`,
  ).path
  const look = { class: "cat", truncation: 0.5, edit: { d0: 1, d7: -0.25 } }
  assert.deepEqual(found, [
    { model: MODEL, seed: "3", ...look },
    { model: MODEL, seed: "8", ...look },
  ])
})

test("a path is asked for by its URL where seeds and one look say all, else by recipes", () => {
  const [plain, other] = ["42", "7"].map((seed) => picture.plainPicture(MODEL, seed))
  const words = { frames: 48, mode: "", ease: "in-out", loop: true }
  const by = (list, format = "webp") => interpolation.interpolationDrawing(list, format, words)
  const rest = "&frames=48&ease=in-out&loop=true"
  assert.equal(by([plain, other]).url, `/interpolate.webp?model=${MODEL}&seeds=42,7${rest}`)
  const edited = interpolation.allChanged([plain, EDITED], {
    truncation: 0.5,
    edit: { d0: 1 },
    class: "cat",
  })
  const look = "&class=cat&truncation=0.5&edit=d0:1"
  assert.equal(by(edited).url, `/interpolate.webp?model=${MODEL}&seeds=42,${LAST}${rest}${look}`)
  const { url, body } = by([PICTURES.mix, EDITED, PICTURES.place, PICTURES.found], "png")
  assert.equal(url, "/interpolate")
  assert.ok(body.includes(`{"mix":"1:1,${LAST}:-1,3:0.5"}`))
  assert.ok(body.includes(`{"seed":${LAST},"class":"red panda","truncation":0.7,"edit":"d1:-2.5"}`))
  assert.ok(body.includes(`{"plane":{"seeds":[1,2,3,${LAST}],"x":0.25,"y":1},"edit":"d0:1"}`))
  assert.ok(body.endsWith('"frames":48,"ease":"in-out","loop":true,"format":"strip"}'))
})

test("all pins are changed together, and a latent keeps its class", () => {
  const all = [PICTURES.plain, PICTURES.found, EDITED]
  assert.equal(interpolation.common(all, "class"), undefined)
  assert.equal(
    interpolation.common(interpolation.allChanged(all, { class: "dog" }), "class"),
    "dog",
  )
  const own = interpolation.allChanged(all, { class: "" })
  assert.deepEqual(
    own.map((one) => one.class),
    [undefined, "cat", undefined],
  )
  assert.equal(interpolation.common(own.slice(0, 1), "truncation"), "")
  assert.equal(
    interpolation.common(interpolation.allChanged(all, { truncation: 0.25 }), "truncation"),
    "0.25",
  )
})

test("an address that is no good shows the grid or less, and never fails", () => {
  const bad = [
    "?view=focus",
    "?view=nothing",
    "?seed=1&truncation=7&edit=d0:1e9,zz",
    "?at=1,2",
    "?mix=a:b",
    "?z=1,x",
    "?view=plane&corners=1,2,3&x=9",
    "?view=path&pins=a,b&fps=0&ease=no",
    "?grid=-1",
    "?%ff",
  ]
  for (const search of bad) {
    const state = stateOf(search)
    assert.doesNotThrow(() => addressOf(state), search)
    assert.ok(state.view !== "focus" || state.picture.truncation === 1, search)
  }
})

test("an address with a model that cannot be keeps its picture", () => {
  for (const model of ["MNIST", "mnist@abc", "", "mnist", "x y"])
    assert.equal(stateOf(`?model=${model}&seed=3`).picture.seed, "3", model)
  assert.equal(stateOf("?view=nothing&seed=3").view, "focus")
})

test("a text in an address waits for its number", () => {
  assert.deepEqual(stateOf("?seed=ada").picture.text, "ada")
  assert.equal(stateOf("?seed=ada").picture.seed, undefined)
})

test("a picture of a plain seed has the permanent address, others say what was done", () => {
  const url = (one, options) => picture.drawing(one, options).url
  assert.equal(url(PICTURES.plain), `/i/${MODEL}/42.png`)
  assert.equal(url(PICTURES.plain, { scale: 4, format: "webp" }), `/i/${MODEL}/42@4x.webp`)
  assert.equal(
    url(PICTURES.edited, { scale: 2 }),
    `/generate.png?model=${MODEL}&seed=${LAST}&class=red%20panda&truncation=0.7&edit=d1:-2.5&scale=2`,
  )
  assert.equal(
    url(PICTURES.place),
    `/plane.png?model=${MODEL}&seeds=1,2,3,${LAST}&x=0.25&y=1&size=0&columns=1&rows=1&edit=d0:1`,
  )
  assert.ok(url(PICTURES.straight).includes("&mode=lerp&"))
})

test("a mix has an address with every digit of its seeds", () => {
  const { url, body } = picture.drawing(PICTURES.mix, { scale: 2 })
  assert.equal(url, `/generate.png?model=${MODEL}&mix=1:1,${LAST}:-1,3:0.5&scale=2`)
  assert.equal(body, undefined)
  assert.deepEqual(picture.readMix("3:1,8:-1e-7,5"), [
    ["3", 1],
    ["8", -1e-7],
    ["5", 1],
  ])
})

test("what has no address is asked for with every digit of its seeds", () => {
  const sheet = picture.sheetDrawing([EDITED, PICTURES.place, PICTURES.found], 3)
  assert.equal(sheet.url, "/generate")
  assert.ok(sheet.body.includes(`"seed":${LAST},`))
  assert.ok(sheet.body.includes(`"seeds":[1,2,3,${LAST}]`))
  assert.ok(sheet.body.includes('{"z":[0.5,-1,0.0312],"class":"cat"}'))
  const sly = picture.bodyText({ class: '"seed":"7"', edit: '"seeds":["7"]', seed: "8" })
  assert.deepEqual(JSON.parse(sly), { class: '"seed":"7"', edit: '"seeds":["7"]', seed: 8 })
})

test("equal pictures have equal keys, whatever the order of their words", () => {
  const one = { ...PICTURES.plain, edit: { d1: 1, d0: 2 } }
  const other = { edit: { d0: 2, d1: 1, d2: 0 }, truncation: 1, seed: "42", model: MODEL }
  assert.equal(picture.keyOf(one), picture.keyOf(other))
  assert.notEqual(picture.keyOf(one), picture.keyOf(PICTURES.plain))
})

test("edits are written as the service reads them", () => {
  assert.equal(picture.editText({ d10: 1, d2: -0.30000000000000004, d3: 0 }), "d2:-0.3,d10:1")
  assert.deepEqual(picture.readEdits("d2:-0.3,d10:1,dx:1,d1:1e5"), { d2: -0.3, d10: 1 })
})

test("what is no picture is none", () => {
  for (const one of Object.values(PICTURES)) assert.deepEqual(picture.checkedPicture(one), one)
  const good = PICTURES.plain
  const bad = [
    null,
    7,
    {},
    { ...good, model: "x" },
    { ...good, seed: "-1" },
    { ...good, seed: 2 ** 60 },
    { ...good, truncation: 2 },
    { ...PICTURES.mix, mix: [["1", 11]] },
    { ...PICTURES.found, z: ["1"] },
    { ...PICTURES.place, plane: { ...PLACE, x: -1 } },
    { ...PICTURES.place, plane: { seeds: ["1"] } },
    { ...PICTURES.place, plane: { ...PLACE, mode: "spline" } },
  ]
  for (const one of bad) assert.equal(picture.checkedPicture(one), null, JSON.stringify(one))
})

test("the latest question wins, one at a time, in order", async () => {
  const latest = new LatestOnly()
  const shown = []
  let underway = 0
  const answers = []
  const ask = (number) =>
    latest.ask(
      () => {
        assert.equal(++underway, 1)
        return new Promise((resolve) => answers.push(() => resolve(number, underway--)))
      },
      (answer) => shown.push(answer),
    )
  for (let number = 0; number < 60; number++) ask(number)
  assert.equal(answers.length, 1)
  answers[0]()
  await new Promise(setImmediate)
  assert.equal(answers.length, 2)
  answers[1]()
  await new Promise(setImmediate)
  assert.deepEqual(shown, [0, 59])
  ask(60)
  latest.forget()
  answers[2]()
  await new Promise(setImmediate)
  assert.deepEqual(shown, [0, 59])
})

test("a question that fails is told of, and does not stop the next", async () => {
  const latest = new LatestOnly()
  const told = []
  const tell = (error) => told.push(error.message)
  latest.ask(
    () => Promise.reject(new Error("full")),
    () => told.push("shown"),
    tell,
  )
  latest.ask(
    () => Promise.resolve("fine"),
    (answer) => told.push(answer),
    tell,
  )
  await new Promise(setImmediate)
  assert.deepEqual(told, ["full", "fine"])
})

test("a loop goes from its last frame to its first, and a path ends", () => {
  assert.deepEqual(interpolation.placeInFilm(9.5, 10, true), {
    frame: 9,
    next: 0,
    blend: 0.5,
    ended: false,
  })
  assert.equal(interpolation.placeInFilm(10, 10, true).frame, 0)
  assert.equal(interpolation.placeInFilm(-1, 10, true).frame, 9)
  assert.deepEqual(interpolation.placeInFilm(9, 10, false), {
    frame: 9,
    next: 9,
    blend: 0,
    ended: true,
  })
  assert.equal(interpolation.placeInFilm(8.25, 10, false).blend, 0.25)
})

test("a path has a frame a pin at least and no more than the host draws", () => {
  assert.equal(interpolation.frameCount({ pins: 2, loop: false, most: 256, side: 64 }), 25)
  assert.equal(interpolation.frameCount({ pins: 3, loop: true, most: 256, side: 64 }), 72)
  assert.equal(interpolation.frameCount({ pins: 3, loop: true, most: 5, side: 64 }), 5)
  assert.equal(interpolation.frameCount({ pins: 8, loop: true, most: 256, side: 128 }), 64)
})

test("moving an entry keeps all of them", () => {
  assert.deepEqual(interpolation.moved(["a", "b", "c"], 0, 2), ["b", "c", "a"])
  assert.deepEqual(interpolation.moved(["a", "b", "c"], 2, -1), ["c", "a", "b"])
})

/** A PNG with a text chunk; only what is looked at. */
function png(text, keyword = "ganserve", damage = 0) {
  const body = new TextEncoder().encode(`tEXt${keyword}\0${text}`)
  const bytes = new Uint8Array(8 + 25 + body.length + 8)
  bytes.set([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
  const view = new DataView(bytes.buffer)
  view.setUint32(8, 13)
  bytes.set(new TextEncoder().encode("IHDR"), 12)
  view.setUint32(33, body.length - 4)
  bytes.set(body, 37)
  view.setUint32(37 + body.length, recipe.checksum(body) + damage)
  return bytes
}

test("a recipe is read from a PNG, with every digit of its seed", () => {
  assert.deepEqual(recipe.readRecipe(png(`{"model":"${MODEL}","seed":${LAST}}`)), {
    model: MODEL,
    seed: LAST,
  })
  assert.deepEqual(
    recipe.parsed(`{"class":"a, 1234567890123456, b","z":[0.1234567890123456789]}`),
    {
      class: "a, 1234567890123456, b",
      z: [0.12345678901234568],
    },
  )
})

test("a recipe is read from XMP", () => {
  const packet = 'RIFF....WEBP<ganserve:recipe>{"class":"a &amp; b","seed":1}</ganserve:recipe>'
  assert.deepEqual(recipe.readRecipe(new TextEncoder().encode(packet)), { class: "a & b", seed: 1 })
})

test("a damaged or foreign file has no recipe, and does no harm", () => {
  const good = png('{"seed":1}')
  assert.equal(recipe.readRecipe(png('{"seed":1}', "ganserve", 1)), null)
  assert.equal(recipe.readRecipe(png('{"seed":1}', "other")), null)
  for (const text of ["[1]", "7", "{", "x".repeat(13_000)])
    assert.equal(recipe.readRecipe(png(text)), null)
  for (let length = 0; length < good.length; length++) recipe.readRecipe(good.slice(0, length))
  assert.equal(recipe.readRecipe(new Uint8Array()), null)
})

test("every recipe leads to its view", () => {
  const view = (words) => recipe.viewOf({ model: MODEL, ...words })
  assert.deepEqual(
    view({ seed: LAST, class: "red panda", truncation: 0.7, edit: "d1:-2.5" }).picture,
    EDITED,
  )
  assert.deepEqual(view({ seed: 5, n: 9, columns: 3 }).grid, { seed: "5", ...picture.lookIn() })
  assert.deepEqual(
    view({
      mix: [
        [1, 1],
        [LAST, -1],
        [3, 0.5],
      ],
    }).picture,
    PICTURES.mix,
  )
  assert.deepEqual(
    view({ pictures: [{ z: [0.5, -1, 0.0312], class: "cat" }, {}] }).picture,
    PICTURES.found,
  )
  const list = [
    { seed: LAST, class: "cat" },
    { seed: 7, class: "cat" },
  ]
  assert.deepEqual(view({ pictures: list }), {
    view: "names",
    model: MODEL,
    names: { list: [LAST, "7"], class: "cat" },
  })
  for (const other of [
    { seed: 7 },
    { seed: 7, class: "cat", truncation: 0.5 },
    { mix: "1:1" },
    null,
  ])
    assert.equal(view({ pictures: [list[0], other] }).of, "2 pictures")
  const film = view({
    seeds: [1, LAST],
    frames: 9,
    mode: "slerp",
    loop: true,
    ease: "in",
    fps: 7,
    edit: "d0:1",
  })
  assert.deepEqual(
    [film.view, film.path.pins.map(pins.pinText), film.path.mode, film.path.fps],
    ["path", ["1~d0:1", `${LAST}~d0:1`], "slerp", 7],
  )
  const recipes = [
    { seed: LAST, class: "red panda", truncation: 0.7, edit: "d1:-2.5" },
    { mix: `1:1,${LAST}:-1,3:0.5` },
    { plane: { seeds: [1, 2, 3, LAST], x: 0.25, y: 1 }, edit: "d0:1" },
    { z: [0.5, -1, 0.0312], class: "cat" },
  ]
  assert.deepEqual(view({ recipes, frames: 9, loop: true }).path.pins, [
    EDITED,
    PICTURES.mix,
    PICTURES.place,
    PICTURES.found,
  ])
  assert.deepEqual(view(recipes[1]).picture, PICTURES.mix)
  const look = { class: "red panda", truncation: 0.7, edit: "d1:-2.5" }
  const { seed } = PICTURES.plain
  assert.deepEqual(view({ seed, n: 9, ...look }).grid, { seed, ...picture.lookIn(EDITED) })
  const four = { seeds: [1, 2, 3, LAST], mode: "lerp" }
  const map = { columns: 5, rows: 5, x: 0.25, y: 0.5, size: 0.5 }
  assert.deepEqual(view({ ...four, ...map, ...look }).plane, {
    seeds: PLACE.seeds,
    x: 0.5,
    y: 0.75,
    mode: "lerp",
    ...picture.lookIn(EDITED),
  })
  const place = { columns: 1, rows: 1, x: 0.25, y: 1, size: 0 }
  assert.deepEqual(view({ ...four, ...place }).picture, PICTURES.straight)
  const corners = { seeds: [1, 2, 3, LAST], x: 0.25, y: 1, mode: "lerp" }
  const lone = view({ pictures: [{ plane: corners }] })
  assert.deepEqual(lone.picture, PICTURES.straight)
  assert.deepEqual(view({ pictures: [{ seed: 1 }, { seed: 2 }] }).names.list, ["1", "2"])
  assert.equal(view({ seed: 1, direction: "d0" }).of, "strip along a direction")
  const hostile = { fps: "abc", ease: {}, mode: 7, loop: "x" }
  const checked = (words) => checkedState(view(words))
  assert.deepEqual(checked({ seeds: [1, 2], frames: 2, ...hostile }).path, {
    ...freshState().path,
    loop: false,
    pins: ["1", "2"].map((seed) => picture.plainPicture(MODEL, seed)),
  })
  const off = { seeds: [1, 2, 3, 4], columns: 2, rows: 2, x: 0.9, size: "a" }
  assert.equal(checked(off).plane.x, 0.5)
  const exact = { truncation: 0.123456, edit: "d0:0.123456" }
  assert.equal(checked({ seed: 1, ...exact }).picture.truncation, 0.123456)
  assert.deepEqual(checked({ seed: 1, ...exact }).picture.edit, { d0: 0.123456 })
  const found = { ...PICTURES.found, z: [0.123456789, -1e-7, 10] }
  assert.deepEqual(checked({ z: found.z, class: "cat" }).picture, found)
  for (const words of [
    {},
    { recipes: [], frames: 2 },
    { seed: -1 },
    { seeds: [1] },
    { seeds: ["a", 2], frames: 2 },
    { recipes: [{ seed: 1 }, {}], frames: 2 },
    { pictures: [] },
  ]) {
    assert.equal(view(words), null)
  }
})

const SERVED = {
  card: {
    id: MODEL,
    name: "tiny",
    width: 32,
    z_dim: 3,
    classes: ["cat", "red panda"],
    ranges: { pictures: 9, frames: 9, seeds_of_a_path: 9, edit: [-3, 3] },
  },
  directions: [0, 1].map((number) => ({ id: `d${number}`, range: [-3, 3] })),
}

test("what fits a generator stays as it is", () => {
  const path = { ...freshState().path, pins: Object.values(PICTURES) }
  const state = { ...freshState(), view: "path", picture: EDITED, path }
  const { fitting, left } = fitted(state, SERVED)
  assert.deepEqual([{ ...state, ...fitting }, left], [state, []])
})

test("what a generator cannot draw is left out of every view and told of the one shown", () => {
  const look = { class: "dog", truncation: 0.7, edit: { d0: 1, d1: 9, d7: 1 } }
  const path = { ...freshState().path, pins: [PICTURES.plain, { ...PICTURES.found, z: [1] }] }
  const state = { ...freshState(), view: "grid", grid: { seed: "3", ...look }, path }
  const { fitting, left } = fitted(state, SERVED)
  assert.deepEqual(left, ["d1:9", "d7:1", "dog"])
  assert.deepEqual(fitting.grid, { seed: "3", class: "", truncation: 0.7, edit: { d0: 1 } })
  assert.equal(fitting.path, path) // it is fitted when it is shown
  const shown = fitted({ ...state, view: "path" }, SERVED)
  assert.deepEqual(shown.left, ["1 of 2 pins"])
  assert.deepEqual(shown.fitting.path?.pins, [PICTURES.plain])
  const numbered = fitted(
    { ...state, grid: { seed: "3", ...picture.lookIn({ class: "1" }) } },
    SERVED,
  )
  assert.equal(numbered.fitting.grid?.class, "red panda")
})

test("a picture that cannot be drawn gives way to many", () => {
  const gone = { ...PICTURES.found, class: undefined }
  const { fitting, left } = fitted({ ...freshState(), view: "focus", picture: gone }, SERVED)
  assert.deepEqual([fitting.view, fitting.picture, left], ["grid", null, ["the picture"]])
})

test("every view has an address, and all but a single picture are in the navigation", () => {
  for (const view of NAVIGATION) assert.equal(stateOf(`?view=${view}`).view, view)
  assert.deepEqual(
    Object.keys(VIEWS).filter((view) => !NAVIGATION.includes(view)),
    ["focus"],
  )
})

test("what is copied says the same picture everywhere", () => {
  const place = { origin: "http://host", card: SMALL, pixels: "square" }
  const copied = (one) => snippets(ofPicture(one, SMALL.width, "http://host/?seed=42"), place)
  const numbered = copied(PICTURES.plain)
  assert.ok(numbered.html.startsWith(`<img src="http://host/i/${MODEL}/42@9x.png" srcset=`))
  assert.ok(numbered.html.includes(`42@16x.png 2x"`))
  assert.equal(numbered.url, `http://host/i/${MODEL}/42@9x.png`)
  assert.equal(numbered.link, "http://host/?seed=42")
  const found = copied(PICTURES.named)
  const named = "seed=ada%2C%20or%20%5Bso%5D%20%26%20%22more%22".replace("%2C", ",")
  assert.equal(found.url, `http://host/generate.png?model=${MODEL}&${named}&scale=9`)
  assert.ok(found.html.endsWith('alt="ada, or [so] &amp; &quot;more&quot;">'))
  assert.ok(found.markdown.startsWith('![ada, or \\[so\\] & "more"]('))
  for (const text of Object.values(found)) assert.ok(!text.includes("/42"), text)
  const mixed = copied(PICTURES.mix)
  assert.equal(
    mixed.url,
    `http://host/generate.png?model=${MODEL}&mix=1:1,${LAST}:-1,3:0.5&scale=9`,
  )
  assert.ok(mixed.html.includes("scale=16 2x"))
  const latent = copied(PICTURES.found)
  const words = "z=0.5,-1,0.0312&class=cat&scale=9"
  assert.equal(latent.url, `http://host/generate.png?model=${MODEL}&${words}`)
  const unnamed = copied({ ...PICTURES.found, z: Array(900).fill(-0.1234567) })
  assert.equal(unnamed.html, undefined)
  assert.ok(unnamed.curl.includes("-d '{"))
  assert.equal(fileName(PICTURES.plain), "tiny-42")
  assert.equal(fileName(PICTURES.named), "tiny-ada-or-so-more")
})

test("embedded pictures are about as large as they are shown, and once more on fine screens", () => {
  const square = (width) => {
    const { scale, offers } = embedding({ width, upscaler: null }, "square")
    return [scale, ...offers]
  }
  assert.deepEqual(square(28), [9, [9, "1x"], [16, "2x"]])
  assert.deepEqual(square(64), [4, [4, "1x"], [8, "2x"]])
  assert.deepEqual(square(512), [1, [1, "1x"], [2, "2x"]])
  assert.deepEqual(square(16), [16])
})

test("what is copied is enlarged as it is shown", () => {
  const copied = (kind, one = PICTURES.plain, card = SHARP) =>
    snippets(ofPicture(one, card.width), { origin: "http://host", card, pixels: kind })
  const learned = copied("learned")
  const large = `http://host/i/${UPSCALED}/42@4x~learned.png`
  assert.equal(learned.url, large)
  assert.equal(
    learned.html,
    `<img src="${large}" srcset="http://host/i/${MODEL}/42.png 64w, ` +
      `http://host/i/${UPSCALED}/42@2x~learned.png 128w, ${large} 256w" sizes="256px" ` +
      'width="256" height="256" alt="Seed 42">',
  )
  for (const name of ["markdown", "curl", "python"]) assert.ok(learned[name].includes(large), name)
  const smooth = copied("smooth")
  const words = `model=${MODEL}&seed=42&scale=4&resample=lanczos`
  assert.equal(smooth.url, `http://host/generate.png?${words}`)
  assert.ok(smooth.html.includes("&amp;scale=8&amp;resample=lanczos 2x"))
  const mixed = copied("learned", PICTURES.mix)
  assert.ok(mixed.url.includes(`model=${UPSCALED}&mix=`))
  assert.ok(mixed.url.endsWith("&scale=4&resample=learned"))
  const unnamed = copied("learned", { ...PICTURES.found, z: Array(900).fill(-0.1234567) })
  assert.ok(unnamed.curl.includes(`{"model":"${UPSCALED}","recipes":[`))
  assert.ok(unnamed.curl.includes('"scale":4,"resample":"learned"}'))
  const fine = { ...SHARP, width: 256 }
  assert.equal(copied("learned", PICTURES.plain, fine).url, `http://host/i/${MODEL}/42.png`)
  assert.ok(copied("learned", PICTURES.plain, fine).html.includes("42@2x~learned.png 512w"))
})

test("pixels are the upscaler's where there is one, unless others are wished for", () => {
  assert.deepEqual(pixels.pixelsOf(SHARP), ["learned", "smooth", "square"])
  assert.deepEqual(pixels.pixelsOf(SMALL), ["smooth", "square"])
  assert.equal(pixels.pixelsFor(SHARP, null), "learned")
  assert.equal(pixels.pixelsFor(SMALL, null), "smooth")
  assert.equal(pixels.pixelsFor(SMALL, "learned"), "smooth")
  for (const kind of ["smooth", "square"]) {
    assert.equal(pixels.pixelsFor(SHARP, kind), kind)
    assert.equal(pixels.pixelsFor(SMALL, kind), kind)
  }
  assert.equal(pixels.pixelsFor(SHARP, "nonsense"), "learned")
})

test("a size that the upscaler does not have is smooth, and that is told", () => {
  const told = [1, 2, 4, 8, 16].map((scale) => pixels.exceptionOf("learned", scale, SHARP))
  const rest = "the upscaler has 128 and 256."
  const smooth = [512, 1024].map((side) => `${side} px is smooth: ${rest}`)
  assert.deepEqual(told, [`64 px is as generated: ${rest}`, "", "", ...smooth])
  assert.equal(pixels.exceptionOf("smooth", 8, SHARP), "")
  assert.equal(pixels.exceptionOf("square", 1, SMALL), "")
  const words = (kind, scale) => pixels.enlargement(kind, scale, SHARP)
  assert.deepEqual(words("learned", 4), { scale: 4, resample: "learned", model: UPSCALED })
  assert.deepEqual(words("learned", 8), { scale: 8, resample: "lanczos" })
  assert.deepEqual(words("smooth", 4), { scale: 4, resample: "lanczos" })
  assert.deepEqual(words("square", 4), { scale: 4 })
  for (const kind of pixels.pixelsOf(SHARP)) assert.deepEqual(words(kind, 1), { scale: 1 })
})

test("a large view asks for no more than it shows, and for no more than there is", () => {
  const shown = (side, card = SHARP) => pixels.scaleShown(card, side)
  assert.deepEqual(
    [0, 64, 65, 128, 129, 9000].map((side) => shown(side)),
    [1, 1, 2, 2, 4, 4],
  )
  assert.equal(shown(100, { ...SHARP, upscaler: { id: UPSCALED, scales: [4] } }), 4)
})

test("a file of an enlarged picture leads to the picture", () => {
  const model = UPSCALED
  const plain = { view: "focus", model: MODEL, picture: PICTURES.plain }
  assert.deepEqual(recipe.viewOf({ model, seed: 42, scale: 4, resample: "learned" }), plain)
  const several = recipe.viewOf({ model, pictures: [{ seed: 42 }], scale: 4, resample: "learned" })
  assert.deepEqual(several, plain)
  const film = recipe.viewOf({ model, seeds: [1, 2], frames: 2, scale: 4, resample: "learned" })
  assert.deepEqual([film.model, film.path.pins[0].model], [MODEL, MODEL])
  assert.equal(stateOf(`?model=${UPSCALED}&seed=42`).model, MODEL)
})

test("favourites outlive the page, each once, and what is no picture stays out", () => {
  const entries = new Map()
  const store = {
    getItem: (name) => entries.get(name) ?? null,
    setItem: (n, value) => entries.set(n, value),
  }
  const list = storage.favourites(store)
  list.add(PICTURES.plain)
  list.add(PICTURES.edited)
  list.add({ ...PICTURES.plain })
  assert.deepEqual(storage.favourites(store).pictures, [PICTURES.plain, PICTURES.edited])
  list.remove(PICTURES.plain)
  assert.deepEqual(storage.favourites(store).pictures, [PICTURES.edited])
  const file = storage.fileOf([PICTURES.mix, { model: "no" }])
  assert.deepEqual(storage.picturesIn(file), [PICTURES.mix])
  assert.throws(() => storage.picturesIn("[]"), /no list/)
  assert.throws(() => storage.picturesIn("nonsense"), /no JSON/)
  const broken = {
    getItem: () => {
      throw new Error("no")
    },
    setItem: () => {
      throw new Error("no")
    },
  }
  const forgetful = storage.favourites(broken)
  forgetful.add(PICTURES.plain)
  assert.ok(forgetful.has(PICTURES.plain))
})

test("no variation of a picture looks like another of the same turn or the next", () => {
  const directions = Array.from({ length: 8 }, (_, place) => ({ id: `d${place}`, range: [-4, 4] }))
  const words = { card: { ranges: { edits: 8 } }, directions }
  const found = [0, 1].flatMap((turn) => variations(PICTURES.plain, { ...words, turn }))
  assert.equal(found.length, 2 * VARIATIONS)
  for (const [place, one] of found.entries())
    for (const other of found.slice(place + 1)) {
      const apart = Object.entries(one.edit).map(([id, step]) => Math.abs(step - other.edit[id]))
      assert.ok(Math.max(...apart) > 1, JSON.stringify([one.edit, other.edit]))
    }
})
