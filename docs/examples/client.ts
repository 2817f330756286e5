// npx openapi-typescript http://localhost:8000/openapi.json -o openapi.ts: types of every request and answer
import type { components, operations, paths } from "./openapi"

const HOST = "http://localhost:8000"

type Query = NonNullable<paths["/generate"]["get"]["parameters"]["query"]>
type Body = components["schemas"]["GenerateBody"]
type Problem = components["schemas"]["Problem"]
type Generations = operations["image_generations"]["responses"][200]["content"]["application/json"]

export function address(query: Query): string {
  const pairs = Object.entries(query).map(([name, value]) => [name, String(value)])
  return `${HOST}/generate?${new URLSearchParams(pairs)}`
}

export async function draw(body: Body): Promise<Blob> {
  return (await post("/generate", body)).blob()
}

export async function links(prompt: string, n: number): Promise<Generations["data"]> {
  const found: Generations = await (await post("/v1/images/generations", { prompt, n })).json()
  return found.data
}

async function post(path: keyof paths, body: object): Promise<Response> {
  const headers = { "Content-Type": "application/json" }
  const answer = await fetch(HOST + path, { method: "POST", headers, body: JSON.stringify(body) })
  if (!answer.ok) throw new Error(((await answer.json()) as Problem).detail)
  return answer
}

console.log(address({ seed: "ada", scale: 4 }))
