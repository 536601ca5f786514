/** A whole document of JSON as values: what the masks take for JSON, and no name twice. */
import { isUtf8 } from 'node:buffer'
import type { Result } from '../../../../session.ts'
import { readString } from './fields.ts'
import { JsonReader, type JsonSink } from './reader.ts'

/** An object is a map, so that no name in it means anything to us. */
export type JsonValue =
  | string
  | number
  | boolean
  | null
  | readonly JsonValue[]
  | ReadonlyMap<string, JsonValue>

/** @returns why it has no one meaning, in words. */
export function parseJson(body: Buffer): Result<JsonValue, string> {
  if (!isUtf8(body)) return { ok: false, error: 'the body is no UTF-8' }
  const builder = new Builder()
  const reader = new JsonReader(builder, { sequence: false, maximumStringBytes: Number.MAX_SAFE_INTEGER })
  const problem = reader.read(body) ?? reader.end() ?? builder.problem
  return problem === undefined ? { ok: true, value: builder.value } : { ok: false, error: problem }
}

type Container = JsonValue[] | Map<string, JsonValue>

class Builder implements JsonSink {
  value: JsonValue = null
  problem: string | undefined
  readonly #open: { readonly container: Container; key: string; readonly names: Set<string> }[] = []

  open(isObject: boolean): void {
    const container: Container = isObject ? new Map() : []
    this.#add(container)
    this.#open.push({ container, key: '', names: new Set() })
  }

  close(): void {
    this.#open.pop()
  }

  key(bytes: Buffer, start: number, end: number): void {
    const innermost = this.#open.at(-1)
    if (!innermost) return
    innermost.key = readString(bytes, start, end)
    // many servers don't tell capitals from small letters in names
    const folded = innermost.key.normalize('NFKC').toLowerCase()
    if (innermost.names.has(folded))
      this.problem ??= 'a name comes twice in the JSON, of which servers take different ones'
    innermost.names.add(folded)
  }

  string(bytes: Buffer, start: number, end: number): void {
    this.#add(readString(bytes, start, end))
  }

  scalar(bytes: Buffer, start: number, end: number): void {
    this.#add(JSON.parse(bytes.toString('latin1', start, end)) as JsonValue)
  }

  /** There is none: all of the body is here already. */
  longString(): void {}
  longStringEnd(): void {}

  #add(value: JsonValue): void {
    const innermost = this.#open.at(-1)
    if (!innermost) this.value = value
    else if (innermost.container instanceof Map) innermost.container.set(innermost.key, value)
    else innermost.container.push(value)
  }
}
