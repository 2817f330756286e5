// Seeds to latents, as `model/latent_space/latents.py` has them for a uniform prior: Philox4x64-10,
// key (seed, 0), counter from 1, a word of 64 bits a number. A word is two numbers of 32 bits here,
// high and low, as BigInt takes ten times as long.

export const Z_DIM = 100
const ROUNDS = 10
const M0 = [0xd2e7470e, 0xe14c6c93] // multipliers, high and low
const M1 = [0xca5a8263, 0x95121157]
const W0 = [0x9e3779b9, 0x7f4a7c15] // what the key grows by
const W1 = [0xbb67ae85, 0x84caa73b]
const TWO_32 = 2 ** 32

const product = new Uint32Array(4) // 128 bits, lowest first
const block = new Uint32Array(8) // four words, low before high

// product = (ah, al) * (bh, bl); halves of 16 bits keep every sum exact
function multiply(ah, al, bh, bl) {
  const a0 = al & 0xffff
  const a1 = al >>> 16
  const a2 = ah & 0xffff
  const a3 = ah >>> 16
  const b0 = bl & 0xffff
  const b1 = bl >>> 16
  const b2 = bh & 0xffff
  const b3 = bh >>> 16
  let sum = a0 * b0
  const p0 = sum & 0xffff
  sum = Math.floor(sum / 65536) + a0 * b1 + a1 * b0
  const p1 = sum & 0xffff
  sum = Math.floor(sum / 65536) + a0 * b2 + a1 * b1 + a2 * b0
  const p2 = sum & 0xffff
  sum = Math.floor(sum / 65536) + a0 * b3 + a1 * b2 + a2 * b1 + a3 * b0
  const p3 = sum & 0xffff
  sum = Math.floor(sum / 65536) + a1 * b3 + a2 * b2 + a3 * b1
  const p4 = sum & 0xffff
  sum = Math.floor(sum / 65536) + a2 * b3 + a3 * b2
  const p5 = sum & 0xffff
  sum = Math.floor(sum / 65536) + a3 * b3
  product[0] = p0 | (p1 << 16)
  product[1] = p2 | (p3 << 16)
  product[2] = p4 | (p5 << 16)
  product[3] = sum
}

// block = four random words of a counter and a seed
function philox(counter, seed) {
  let c0h = 0
  let c0l = counter
  let c1h = 0
  let c1l = 0
  let c2h = 0
  let c2l = 0
  let c3h = 0
  let c3l = 0
  let k0h = Math.floor(seed / TWO_32)
  let k0l = seed >>> 0
  let k1h = 0
  let k1l = 0
  for (let round = 0; round < ROUNDS; round++) {
    multiply(M0[0], M0[1], c0h, c0l)
    const l0 = product[0]
    const h0 = product[1]
    const l1 = product[2]
    const h1 = product[3]
    multiply(M1[0], M1[1], c2h, c2l)
    c0h = (product[3] ^ c1h ^ k0h) >>> 0
    c0l = (product[2] ^ c1l ^ k0l) >>> 0
    c1h = product[1]
    c1l = product[0]
    c2h = (h1 ^ c3h ^ k1h) >>> 0
    c2l = (l1 ^ c3l ^ k1l) >>> 0
    c3h = h0
    c3l = l0
    k0l += W0[1]
    k0h = (k0h + W0[0] + (k0l >= TWO_32 ? 1 : 0)) >>> 0
    k0l >>>= 0
    k1l += W1[1]
    k1h = (k1h + W1[0] + (k1l >= TWO_32 ? 1 : 0)) >>> 0
    k1l >>>= 0
  }
  block[0] = c0l
  block[1] = c0h
  block[2] = c1l
  block[3] = c1h
  block[4] = c2l
  block[5] = c2h
  block[6] = c3l
  block[7] = c3h
}

/** Latents (N, Z_DIM), float32, of seeds below 2^53. */
export function latents(seeds) {
  const rows = new Float32Array(seeds.length * Z_DIM)
  seeds.forEach((seed, n) => {
    for (let z = 0; z < Z_DIM; z += 4) {
      philox(z / 4 + 1, seed)
      for (let word = 0; word < 4; word++) {
        const upper = block[2 * word + 1] * 2 ** 21 + (block[2 * word] >>> 11) // 53 bits
        const unit = Math.min((upper + 0.5) * 2 ** -53, 1 - 2 ** -53)
        rows[n * Z_DIM + z + word] = 2 * unit - 1
      }
    }
  })
  return rows
}
