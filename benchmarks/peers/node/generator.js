// The generator's thread: numbers of seeds in, pixels (N, 28, 28) out. Warm when it first answers.
// ONNX_FILE is what `ganserve onnx` writes; THREADS are those of a batch; NOOP=1 leaves the network
// out and answers the pictures in DIGITS, as `benchmarks/noop.py` does.

import { readFileSync } from "node:fs"
import { parentPort } from "node:worker_threads"
import { InferenceSession, Tensor } from "onnxruntime-node"
import { latents, Z_DIM } from "./latents.js"

const MAX_BATCH = 64
const PIXELS = 28 * 28

async function network() {
  const session = await InferenceSession.create(process.env.ONNX_FILE, {
    executionProviders: ["cpu"],
    intraOpNumThreads: Number(process.env.THREADS ?? 1),
    interOpNumThreads: 1,
    enableCpuMemArena: false, // less CPU time a batch of 64, measured
  })
  return async (rows, count) => {
    const { pixels } = await session.run({ rows: new Tensor("float32", rows, [count, Z_DIM]) })
    return pixels.data
  }
}

function noop() {
  const digits = readFileSync(process.env.DIGITS)
  const count = digits.length / PIXELS
  return async (rows, pictures) => {
    const pixels = new Uint8Array(pictures * PIXELS)
    const bytes = new Uint8Array(rows.buffer)
    for (let n = 0; n < pictures; n++) {
      const index = Math.trunc(Math.fround(Math.fround((rows[n * Z_DIM] + 1) / 2) * count)) % count
      pixels.set(digits.subarray(index * PIXELS, (index + 1) * PIXELS), n * PIXELS)
      pixels.set(bytes.subarray(n * Z_DIM * 4, n * Z_DIM * 4 + 8), n * PIXELS)
    }
    return pixels
  }
}

const draw = process.env.NOOP === "1" ? noop() : await network()
for (const count of [1, MAX_BATCH]) await draw(latents([...Array(count).keys()]), count)

parentPort.on("message", async (seeds) => {
  try {
    const pixels = await draw(latents(seeds), seeds.length)
    parentPort.postMessage({ pixels })
  } catch (error) {
    parentPort.postMessage({ error: error.message })
  }
})
