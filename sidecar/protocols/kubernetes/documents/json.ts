/**
 * JSON as written: what stands where, so that a part can be replaced while everything else stays as it is, to the byte.
 * Strict; a name that comes twice is an error, since readers differ in which of the two they take.
 */
import { isUtf8 } from 'node:buffer'
import type { Result } from '../../../session.ts'
import { readString } from '../../http/bodies/json/fields.ts'
import { JsonReader, type JsonSink } from '../../http/bodies/json/reader.ts'
import type { Document } from './document.ts'

interface Span {
  /** Where its bytes begin and end. */
  readonly start: number
  readonly end: number
}

export type JsonNode =
  | (Span & { readonly type: 'object'; readonly members: ReadonlyMap<string, JsonNode> })
  | (Span & { readonly type: 'list'; readonly items: readonly JsonNode[] })
  | (Span & { readonly type: 'string'; readonly value: string })
  /** Numbers, true, false and null, as written. */
  | (Span & { readonly type: 'scalar'; readonly text: string })

/** @returns the document; or what is wrong with it. */
export function parseJson(bytes: Buffer): Result<JsonNode, string> {
  if (!isUtf8(bytes)) return { ok: false, error: 'it is not valid UTF-8' }
  const builder = new Builder()
  const reader = new JsonReader(builder, { sequence: false, maximumStringBytes: bytes.length })
  const problem = reader.read(bytes) ?? reader.end() ?? builder.problem
  if (problem !== undefined) return { ok: false, error: problem }
  return builder.root ? { ok: true, value: builder.root } : { ok: false, error: 'there is no JSON' }
}

/** A document without its places. */
export function plainValue(node: JsonNode): Document {
  switch (node.type) {
    case 'object': {
      const values = new Map<string, Document>()
      for (const [name, member] of node.members) values.set(name, plainValue(member))
      return values
    }
    case 'list':
      return node.items.map(plainValue)
    case 'string':
      return node.value
    case 'scalar':
      return JSON.parse(node.text) as number | boolean | null
  }
}

interface OpenObject {
  readonly start: number
  readonly members: Map<string, JsonNode>
  name: string
}

interface OpenList {
  readonly start: number
  readonly items: JsonNode[]
}

/** Hears of a document that comes in one piece, so that places in it are those of its bytes. */
class Builder implements JsonSink {
  root: JsonNode | undefined
  problem: string | undefined
  readonly #open: (OpenObject | OpenList)[] = []

  open(isObject: boolean, at: number): void {
    this.#open.push(isObject ? { start: at, members: new Map(), name: '' } : { start: at, items: [] })
  }

  close(_isObject: boolean, at: number): void {
    const closed = this.#open.pop()
    if (!closed) return
    const end = at + 1
    this.#add(
      'items' in closed
        ? { type: 'list', start: closed.start, end, items: closed.items }
        : { type: 'object', start: closed.start, end, members: closed.members },
    )
  }

  key(bytes: Buffer, start: number, end: number): void {
    const parent = this.#open.at(-1)
    if (!parent || !('members' in parent)) return
    parent.name = readString(bytes, start, end)
    if (parent.members.has(parent.name))
      this.problem ??= `the name ${JSON.stringify(parent.name.slice(0, 64))} comes twice`
  }

  string(bytes: Buffer, start: number, end: number): void {
    this.#add({ type: 'string', start, end, value: readString(bytes, start, end) })
  }

  scalar(bytes: Buffer, start: number, end: number): void {
    this.#add({ type: 'scalar', start, end, text: bytes.toString('latin1', start, end) })
  }

  longString(): void {
    this.problem ??= 'a string is too long'
  }

  longStringEnd(): void {}

  #add(node: JsonNode): void {
    const parent = this.#open.at(-1)
    if (!parent) this.root = node
    else if ('items' in parent) parent.items.push(node)
    else parent.members.set(parent.name, node)
  }
}
