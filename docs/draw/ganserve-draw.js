/**
 * ganserve-draw: a name's picture from an integer generator, in the browser, equal to the server's to the byte.
 *
 *   text -> seed -> Philox words -> latent -> ONNX Runtime Web -> pixels -> the same, enlarged
 *
 * docs/integers.md defines every step. One file, no build, no other dependency than ONNX Runtime
 * Web, which the page brings along.
 */

const SEEDS = 1n << 63n
const WORD = (1n << 64n) - 1n
const DIGITS = /^-?[0-9]{1,20}$/
const LOOKS_LIKE_A_NUMBER = /^[\p{White_Space}\p{Nd}+\-_.,]*$/u
const CONTROLS = /[\p{Cc}\p{Cs}\ufffd]/u

/** Finds the seed of a text, as the service does: a whole number is its own, else the upper 63 bits of the SHA-256 of
 * the text's NFC form.
 * @param {string | number | bigint} text
 */
export async function seedOf(text) {
  if (typeof text !== "string" || DIGITS.test(text)) {
    const seed = BigInt(text)
    if (seed < 0n || seed >= SEEDS)
      throw new RangeError(`seed is ${seed}; allowed: 0 to ${SEEDS - 1n}`)
    return seed
  }
  if (LOOKS_LIKE_A_NUMBER.test(text) || CONTROLS.test(text)) {
    throw new RangeError("a whole number or a text is wanted, without control characters")
  }
  const digest = await crypto.subtle.digest(
    "SHA-256",
    new TextEncoder().encode(text.normalize("NFC")),
  )
  return new DataView(digest).getBigUint64(0) >> 1n
}

/** Computes the first words of 64 bits of Philox4x64-10 with the key (seed, 0), the counter from 1 as NumPy has it.
 * @param {bigint} seed
 * @param {number} count
 */
export function words(seed, count) {
  const found = []
  for (let block = 1n; found.length < count; block += 1n) {
    let [a, b, c, d] = [block, 0n, 0n, 0n]
    let [first, second] = [seed, 0n]
    for (let round = 0; round < 10; round += 1) {
      const left = a * 0xd2e7470ee14c6c93n
      const right = c * 0xca5a826395121157n
      ;[a, b, c, d] = [
        (right >> 64n) ^ b ^ first,
        right & WORD,
        (left >> 64n) ^ d ^ second,
        left & WORD,
      ]
      first = (first + 0x9e3779b97f4a7c15n) & WORD
      second = (second + 0xbb67ae8584caa73bn) & WORD
    }
    found.push(a, b, c, d)
  }
  return found.slice(0, count)
}

/** The middle of a word's interval of 53 bits, never 0 and never 1.
 * @param {bigint} word
 */
const unit = (word) => Math.min((Number(word >> 11n) + 0.5) * 2 ** -53, 1 - 2 ** -53)

/* eslint-disable no-loss-of-precision -- the digits of the publication */
// Wichura's algorithm AS 241, coefficients from the highest power down
const CENTRE = [
  [
    2509.0809287301226727, 33430.575583588128105, 67265.770927008700853, 45921.953931549871457,
    13731.693765509461125, 1971.5909503065514427, 133.14166789178437745, 3.387132872796366608,
  ],
  [
    5226.495278852545925, 28729.085735721942674, 39307.89580009271061, 21213.794301586595867,
    5394.1960214247511077, 687.1870074920579083, 42.313330701600911252, 1,
  ],
]
const TAIL = [
  [
    7.7454501427834140764e-4, 0.0227238449892691845833, 0.24178072517745061177,
    1.27045825245236838258, 3.64784832476320460504, 5.7694972214606914055, 4.6303378461565452959,
    1.42343711074968357734,
  ],
  [
    1.05075007164441684324e-9, 5.475938084995344946e-4, 0.0151986665636164571966,
    0.14810397642748007459, 0.68976733498510000455, 1.6763848301838038494, 2.05319162663775882187,
    1,
  ],
]
const FAR_TAIL = [
  [
    2.01033439929228813265e-7, 2.71155556874348757815e-5, 0.0012426609473880784386,
    0.026532189526576123093, 0.29656057182850489123, 1.7848265399172913358, 5.4637849111641143699,
    6.6579046435011037772,
  ],
  [
    2.04426310338993978564e-15, 1.4215117583164458887e-7, 1.8463183175100546818e-5,
    7.868691311456132591e-4, 0.0148753612908506148525, 0.13692988092273580531,
    0.59983220655588793769, 1,
  ],
]
const LOG = [
  6.66666666666673513e-1, 3.999999999940941908e-1, 2.857142874366239149e-1, 2.222219843214978396e-1,
  1.818357216161805012e-1, 1.531383769920937332e-1, 1.479819860511658591e-1,
]
const [LN2_HIGH, LN2_LOW] = [6.9314718036912381649e-1, 1.90821492927058770002e-10]
/* eslint-enable no-loss-of-precision */

/** @param {number[][]} coefficients
 * @param {number} x
 */
function ratio([top, bottom], x) {
  let [above, below] = [top[0], bottom[0]]
  for (let place = 1; place < top.length; place += 1) {
    above = above * x + top[place]
    below = below * x + bottom[place]
  }
  return above / below
}

/** The natural logarithm of a normal number, by operations that are rounded alike everywhere, as Math.log need not be:
 * FDLIBM's e_log.c.
 * @param {number} x
 */
function log(x) {
  const parts = new DataView(new ArrayBuffer(8))
  parts.setFloat64(0, x)
  const high = parts.getUint32(0)
  let exponent = (high >>> 20) - 1022
  parts.setUint32(0, (high & 0x000fffff) | 0x3fe00000) // from 0.5 to 1
  let fraction = parts.getFloat64(0)
  if (fraction < Math.SQRT1_2) {
    fraction *= 2
    exponent -= 1
  }
  const f = fraction - 1
  const s = f / (2 + f)
  const z = s * s
  const w = z * z
  const odd = w * (LOG[1] + w * (LOG[3] + w * LOG[5]))
  const even = z * (LOG[0] + w * (LOG[2] + w * (LOG[4] + w * LOG[6])))
  const half = 0.5 * f * f
  return s * (half + (even + odd)) + exponent * LN2_LOW - half + f + exponent * LN2_HIGH
}

/** The quantile of the normal distribution.
 * @param {number} share
 */
function quantile(share) {
  const centred = share - 0.5
  if (Math.abs(centred) <= 0.425) return ratio(CENTRE, 0.180625 - centred * centred) * centred
  const radius = Math.sqrt(-log(Math.min(share, 1 - share)))
  const tail = radius <= 5 ? ratio(TAIL, radius - 1.6) : ratio(FAR_TAIL, radius - 5)
  return centred < 0 ? -tail : tail
}

/** Makes the generator's input of a seed: its latent, then a weight for each class.
 * @param {{ network: { z_dim: number, classes?: number }, prior: string }} config
 * @param {bigint} seed
 * @param {number} [chosen] place of a class; else the seed's own
 */
export function rowOf(config, seed, chosen) {
  const { z_dim: size, classes = 0 } = config.network
  const found = words(seed, size + 1).map(unit)
  const row = new Float32Array(size + classes)
  for (let place = 0; place < size; place += 1) {
    row[place] = config.prior === "uniform" ? 2 * found[place] - 1 : quantile(found[place])
  }
  if (classes) row[size + (chosen ?? Math.floor(found[size] * classes))] = 1
  return row
}

/** What reads a file of a model folder by its name.
 * @typedef {(name: string) => Promise<Uint8Array<ArrayBuffer>>} Read
 */

/** An integer generator: `config.json` and `model.onnx` of its model folder. */
export class Generator {
  /**
   * @param {any} ort ONNX Runtime Web
   * @param {any} session
   * @param {any} config
   * @param {Read} [read]
   */
  constructor(ort, session, config, read) {
    this.ort = ort
    this.session = session
    this.config = config
    this.read = read
    /** @type {Promise<Upscaler> | null} */
    this.loaded = null
  }

  /** Loads a model folder from its address; its upscaler when it is first wanted.
   * @param {any} ort ONNX Runtime Web
   * @param {string | URL} address of the folder
   */
  static async load(ort, address) {
    const folder = String(address).replace(/\/?$/, "/")
    /** @type {Read} */
    const read = async (name) => {
      const answer = await fetch(folder + name)
      if (!answer.ok) throw new Error(`${folder}${name}: ${answer.status}`)
      return new Uint8Array(await answer.arrayBuffer())
    }
    const [config, model] = await Promise.all([read("config.json"), read("model.onnx")])
    return Generator.of(ort, parsed(config), model, read)
  }

  /** Makes a generator of what `load` fetches.
   * @param {any} ort
   * @param {any} config
   * @param {Uint8Array} model
   * @param {Read} [read] the folder's other files: without it nothing is enlarged
   */
  static async of(ort, config, model, read) {
    if (config.weights_dtype !== "int8") {
      throw new TypeError(
        `${config.name} is no integer generator: its pictures differ from machine to machine`,
      )
    }
    const generator = new Generator(ort, await ort.InferenceSession.create(model), config, read)
    if (config.golden && (await generator.remembered()) !== config.golden) {
      throw new Error(`${config.name} does not draw the pictures that it was written with`)
    }
    return generator
  }

  /** Draws seeds: pixels (N, side, side, channels), 0 to 255.
   * @param {bigint[]} seeds
   * @param {string} [class_] name of a class; else each seed has its own
   * @param {number} [scale] how many times as long each side becomes, by the upscaler
   * @returns {Promise<Uint8Array<ArrayBuffer>>}
   */
  async draw(seeds, class_, scale = 1) {
    const place = class_ === undefined ? undefined : this.config.classes.indexOf(class_)
    if (place === -1)
      throw new RangeError(`class is ${class_}; allowed: ${this.config.classes.join(", ")}`)
    const upscaler = scale === 1 ? null : await this.upscaler()
    const rows = seeds.map((seed) => rowOf(this.config, seed, place))
    const size = rows[0].length
    const all = new Float32Array(size * rows.length)
    rows.forEach((row, number) => all.set(row, size * number))
    const input = new this.ort.Tensor("float32", all, [rows.length, size])
    const { pixels } = await this.session.run({ rows: input })
    return upscaler ? upscaler.enlarge(pixels, scale) : pixels.data
  }

  /** Draws a text's picture, for a canvas.
   * @param {string | number | bigint} text
   * @param {string} [class_]
   * @param {number} [scale]
   */
  async picture(text, class_, scale = 1) {
    const pixels = await this.draw([await seedOf(text)], class_, scale)
    const side = this.config.crop * scale
    const image = new ImageData(side, side)
    const channels = pixels.length / side ** 2
    for (let place = 0; place < side ** 2; place += 1) {
      for (let channel = 0; channel < 3; channel += 1) {
        image.data[4 * place + channel] = pixels[channels * place + (channels === 3 ? channel : 0)]
      }
      image.data[4 * place + 3] = 255
    }
    return image
  }

  /** Returns the upscaler, which is loaded once; where that failed, again. */
  upscaler() {
    this.loaded ??= Upscaler.load(this.ort, this.config, this.read).catch((error) => {
      this.loaded = null
      throw error
    })
    return this.loaded
  }

  /** Returns the SHA-256 of the pictures of the seeds 0 to 15, which config.json remembers. */
  async remembered() {
    return sha256(await this.draw(Array.from({ length: 16 }, (_, seed) => BigInt(seed))))
  }
}

/** An integer upscaler: `upscaler.safetensors`, which says what it is, and `upscaler-2x.onnx` and so on of a model
 * folder.
 */
class Upscaler {
  /**
   * @param {any} ort ONNX Runtime Web
   * @param {Map<number, any>} sessions by their scale
   */
  constructor(ort, sessions) {
    this.ort = ort
    this.sessions = sessions
  }

  /** Loads that of a generator.
   * @param {any} ort
   * @param {any} config
   * @param {Read} [read]
   */
  static async load(ort, config, read) {
    if (!config.upscaler || !read) throw new RangeError(`${config.name} has no upscaler`)
    const file = await read("upscaler.safetensors")
    if ((await sha256(file)) !== config.upscaler) {
      throw new Error(`${config.name} has another upscaler than this upscaler.safetensors`)
    }
    const size = Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true))
    const header = JSON.parse(parsed(file.subarray(8, 8 + size)).__metadata__.upscaler)
    if (header.weights_dtype !== "int8") {
      throw new TypeError(
        `${config.name} has no upscaler of integers: what it enlarges differs from machine to machine`,
      )
    }
    const upscaler = new Upscaler(ort, new Map())
    for (const scale of header.network.scales) {
      const model = await read(`upscaler-${scale}x.onnx`)
      upscaler.sessions.set(scale, await ort.InferenceSession.create(model))
    }
    if (header.golden && (await upscaler.remembered(header.network.channels)) !== header.golden) {
      throw new Error(`${config.name} does not enlarge as its upscaler was written to`)
    }
    return upscaler
  }

  /** Enlarges pictures: a tensor (N, H, W, channels) to pixels (N, scale H, scale W, channels).
   * @param {any} pixels
   * @param {number} scale
   * @returns {Promise<Uint8Array<ArrayBuffer>>}
   */
  async enlarge(pixels, scale) {
    const session = this.sessions.get(scale)
    if (!session) {
      throw new RangeError(`scale is ${scale}; allowed: ${[1, ...this.sessions.keys()].join(", ")}`)
    }
    return (await session.run({ pixels })).large.data
  }

  /** Returns the SHA-256 of the enlargements that upscaler.safetensors remembers.
   * @param {number} channels
   */
  async remembered(channels) {
    const noise = Uint8Array.from({ length: 256 * channels }, (_, place) => {
      const [row, column] = [Math.floor(place / channels / 16), Math.floor(place / channels) % 16]
      return 37 * row ** 2 + 101 * column + 53 * row * column ** 2 + 85 * (place % channels)
    })
    const pixels = new this.ort.Tensor("uint8", noise, [1, 16, 16, channels])
    const large = []
    for (const scale of this.sessions.keys()) large.push(await this.enlarge(pixels, scale))
    return sha256(new Uint8Array(await new Blob(large).arrayBuffer()))
  }
}

/** @param {Uint8Array<ArrayBuffer>} bytes */
const parsed = (bytes) => JSON.parse(new TextDecoder().decode(bytes))

/** @param {Uint8Array<ArrayBuffer>} bytes */
async function sha256(bytes) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("")
}
