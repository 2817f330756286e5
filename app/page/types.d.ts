/** Types of the page that several modules share; only the type checker reads them. */

type Api = import("./api.js").Api
type Explorer = import("./main.js").Explorer

/** How a picture looks, wherever it lies. */
interface Look {
  class: string // empty: its own
  truncation: number
  edit: Record<string, number> // steps by direction: {d0: 1.5}
}

/** A place on the plane between the pictures of four seeds, from 0 to 1 across and down. */
type Place = { seeds: string[]; x: number; y: number; mode?: string }

/** What can be shared and downloaded: a picture, a sheet or a film. */
interface Subject {
  name: string // of its file, without an extension
  alt: string
  page: string // its address on this page
  width: number // pixels, at scale 1
  height: number
  draw(format: string, words: Partial<Enlargement>): Drawing
  tags?: string[] // formats of it that an <img> tag shows, where they are not all of a picture
  lines?: { url: string; alt: string; side: number }[] // a tag each, of a sheet of several
}

/** A picture in words: one of seed, plane, mix and z says where in latent space it lies. */
interface Picture {
  model: string // name@hash of its generator
  seed?: string
  text?: string // what was typed for that seed
  plane?: Place
  mix?: [seed: string, weight: number][]
  z?: number[]
  class?: string
  truncation: number
  edit: Record<string, number>
}

/** A request: GET without a body, which is JSON or a file, else POST. */
type Drawing = { url: string; body?: string | Blob }

/** Words of a request for a picture that is enlarged; without resample each pixel is a square. */
interface Enlargement {
  scale: number
  resample?: "learned" | "lanczos"
  model?: string // with the upscaler's hash, where that is not the picture's own
}

/** Why and how long the service is waited for. */
type Wait = { reason: "busy" | "away"; seconds: number; detail: string }

/** What the page shows. */
interface State {
  view: string
  model: string // name@hash, a name, or empty
  grid: { seed: string } & Look
  picture: Picture | null
  plane: { seeds: string[]; x: number; y: number; mode: string } & Look
  path: { pins: Picture[]; mode: string; ease: string; loop: boolean; fps: number }
  mix: { seeds: string[]; weights: number[]; class: string }
  names: { list: string[]; class: string }
}

/** What the host says of a generator. */
interface Card {
  id: string // name@hash
  name: string
  width: number // pixels
  z_dim: number
  classes: string[]
  upscaler: { id: string; scales: number[] } | null // name@hash-hash, the second its own
  films: string[] // formats of films that the host makes
  projection?: unknown // the host looks pictures up
  ranges: {
    pictures: number
    pictures_of_a_post?: number
    frames: number
    seeds_of_a_path: number
    edit: [low: number, high: number]
    edits?: number
    side?: number
  }
  [more: string]: any
}

type Direction = { id: string; name?: string; range: [low: number, high: number] }
type Served = { card: Card; directions: Direction[] }

/** Keys, what they do, in words and in deed. */
type Keys = Record<string, [what: string, act: (event: KeyboardEvent) => void]>

interface View {
  root: HTMLElement
  keys: Keys
  show(state: State): unknown
  hide?(): void
  marks?(): void // shows what has become of favourites and pins
  repaint?(): void // shows what has become of the choice of pixels
  current?(): Picture | null // the one that keys are about
  left?(): HTMLElement | undefined // what had the focus when another view was opened from it
}
