// The components of docs/examples in a small DOM; run in a folder with copies of them and node_modules
import assert from "node:assert/strict"
import { readFileSync, writeFileSync } from "node:fs"
import test from "node:test"

import { Window } from "happy-dom"
import ts from "typescript"
import { compileScript, parse } from "vue/compiler-sfc"

const window = new Window({ url: "http://localhost/" })
globalThis.IS_REACT_ACT_ENVIRONMENT = true
for (const name of ["window", "document", "Node", "Element", "HTMLElement", "SVGElement"]) {
  globalThis[name] = name === "window" ? window : window[name]
}
globalThis.navigator ??= window.navigator
// nothing is loaded: errors are dispatched below
const react = await import("react")
const { createRoot } = await import("react-dom/client")
const { renderToStaticMarkup } = await import("react-dom/server")
const vue = await import("vue")

const options = { jsx: ts.JsxEmit.ReactJSX, module: ts.ModuleKind.ESNext, target: "es2022" }

async function compiled(name, code) {
  const { outputText } = ts.transpileModule(code, { compilerOptions: options, fileName: "a.tsx" })
  writeFileSync(name, outputText)
  return import(new URL(name, import.meta.url))
}

const { Avatar } = await compiled("react.mjs", readFileSync("Avatar.tsx", "utf8"))
const sfc = compileScript(parse(readFileSync("Avatar.vue", "utf8")).descriptor, {
  id: "avatar",
  inlineTemplate: true,
})
writeFileSync("vue-avatar.ts", sfc.content) // tsc has a look at it
const { default: VueAvatar } = await compiled("vue.mjs", sfc.content)

function holds(place, name, text) {
  const picture = place.querySelector("img")
  const query = `name=${encodeURIComponent(name)}`
  assert.equal(picture.getAttribute("alt"), name)
  assert.equal(picture.getAttribute("loading"), "lazy")
  assert.equal(picture.getAttribute("width"), "96")
  assert.equal(picture.getAttribute("src"), `http://localhost:8000/generate.webp?${query}&scale=2`)
  const densities = picture.getAttribute("srcset").split(", ")
  assert.deepEqual(
    densities.map((one) => one.replace(/.*&/, "")),
    ["scale=2 1x", "scale=3 2x", "scale=6 4x"],
  )
  return () => {
    assert.equal(place.querySelector("img"), null)
    const initials = place.querySelector("[role=img]")
    assert.equal(initials.textContent, text)
    assert.equal(initials.getAttribute("aria-label"), name)
  }
}

const names = [
  ["Ada Lovelace", "AL"],
  ["ada", "A"],
  ["Jürgen & Söhne / K.", "JK"],
  ["🙂 émile", "🙂É"],
]

for (const [name, text] of names) {
  test(`React shows ${name}, and its initials on an error`, async () => {
    const place = document.createElement("div")
    const root = createRoot(place)
    const show = (shown) => root.render(react.createElement(Avatar, { name: shown, size: 96 }))
    await react.act(() => show(name))
    const fallback = holds(place, name, text)
    await react.act(() => place.querySelector("img").dispatchEvent(new window.Event("error")))
    fallback()
    await react.act(() => show("another"))
    assert.ok(place.querySelector("img"), "another name is tried again")
    await react.act(() => root.unmount())
  })

  test(`Vue shows ${name}, and its initials on an error`, async () => {
    const place = document.createElement("div")
    const app = vue.createApp(VueAvatar, { name, size: 96 })
    app.mount(place)
    const fallback = holds(place, name, text)
    place.querySelector("img").dispatchEvent(new window.Event("error"))
    await vue.nextTick()
    fallback()
    app.unmount()
  })
}

test("React renders the same on a server", () => {
  const text = renderToStaticMarkup(react.createElement(Avatar, { name: 'a"<b>' }))
  assert.match(
    text,
    /^<img src="http:\/\/localhost:8000\/generate.webp\?name=a%22%3Cb%3E&amp;scale=1"/,
  )
})

test("next/image asks for the width that it wants", async () => {
  const { default: load } = await compiled(
    "loader.mjs",
    readFileSync("next-image-loader.ts", "utf8"),
  )
  const host = "http://localhost:8000/generate.webp"
  assert.equal(load({ src: "Ada L.", width: 128 }), `${host}?name=Ada+L.&scale=2`)
  assert.equal(load({ src: "a", width: 3840, quality: 75 }), `${host}?name=a&scale=16&quality=75`)
})
