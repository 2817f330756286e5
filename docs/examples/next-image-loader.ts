// next.config: images: { loader: "custom", loaderFile: "./next-image-loader.ts" }
// <Image src="Ada Lovelace" width={64} height={64} alt="Ada Lovelace" />: src is the name
const HOST = "http://localhost:8000"
const SIDE = 64 // pixels per side as the generator draws them: see /models

type Asked = { src: string; width: number; quality?: number }

export default function imageLoader({ src, width, quality }: Asked): string {
  const scale = Math.min(16, Math.max(1, Math.ceil(width / SIDE)))
  const wanted = new URLSearchParams({ name: src, scale: String(scale) })
  if (quality !== undefined) wanted.set("quality", String(quality))
  return `${HOST}/generate.webp?${wanted}`
}
