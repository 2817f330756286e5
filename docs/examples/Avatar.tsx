// <Avatar name="Ada Lovelace" size={64} />: the picture of a name, or its initials where there is none
import { useState, type CSSProperties } from "react"

const HOST = "http://localhost:8000"
const SIDE = 64 // pixels per side as the generator draws them: see /models

type Props = { name: string; size?: number; host?: string }

export function Avatar({ name, size = 64, host = HOST }: Props) {
  const [failed, setFailed] = useState<string>()
  const source = (density: number) => {
    const scale = Math.min(16, Math.max(1, Math.ceil((size * density) / SIDE)))
    return `${host}/generate.webp?name=${encodeURIComponent(name)}&scale=${scale}`
  }
  const style: CSSProperties = { width: size, height: size, borderRadius: "50%" }
  if (failed === source(1)) {
    const centred = { display: "inline-grid", placeItems: "center", background: "#ddd" }
    return (
      <span role="img" aria-label={name} style={{ ...style, ...centred, fontSize: size * 0.4 }}>
        {initials(name)}
      </span>
    )
  }
  return (
    <img
      src={source(1)}
      srcSet={`${source(1)} 1x, ${source(2)} 2x, ${source(4)} 4x`}
      width={size}
      height={size}
      alt={name}
      loading="lazy"
      style={style}
      onError={() => setFailed(source(1))}
    />
  )
}

function initials(name: string): string {
  const words = name.trim().split(/\s+/)
  const ends = words.length > 1 ? [words[0], words[words.length - 1]] : words
  return ends
    .map((word) => [...word][0] ?? "?")
    .join("")
    .toUpperCase()
}
