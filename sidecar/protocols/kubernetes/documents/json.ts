/**
 * JSON as written: what stands where, so that a part can be replaced while everything else stays as it is, to the byte.
 * Strict (RFC 8259); a key that comes twice is an error, since readers differ in which of the two they take.
 */
import type { Result } from '../../../session.ts'
import type { Document } from './document.ts'

interface Span {
  /** Where its text begins and ends. */
  readonly start: number
  readonly end: number
}

export type JsonNode =
  | (Span & { readonly type: 'object'; readonly members: ReadonlyMap<string, JsonNode> })
  | (Span & { readonly type: 'list'; readonly items: readonly JsonNode[] })
  | (Span & { readonly type: 'string'; readonly value: string })
  | (Span & { readonly type: 'number'; readonly value: number })
  | (Span & { readonly type: 'boolean'; readonly value: boolean })
  | (Span & { readonly type: 'null' })

/** Deeper than the API server takes; a document can't exhaust the stack. */
const maximumDepth = 200

/** @returns the document; or what is wrong with it, and where. */
export function parseJson(text: string): Result<JsonNode, string> {
  try {
    return { ok: true, value: new Parser(text).document() }
  } catch (error) {
    if (error instanceof Malformed) return { ok: false, error: error.message }
    throw error
  }
}

/** @returns the text of bytes that are valid UTF-8 without a mark; undefined for others. */
export function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return strictUtf8.decode(bytes)
  } catch {
    return undefined
  }
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** A document without its places. */
export function plainValue(node: JsonNode): Document {
  switch (node.type) {
    case 'object':
      return new Map([...node.members].map(([name, value]) => [name, plainValue(value)]))
    case 'list':
      return node.items.map(plainValue)
    case 'null':
      return null
    default:
      return node.value
  }
}

class Malformed extends Error {}

class Parser {
  readonly #text: string
  #at = 0
  #depth = 0

  constructor(text: string) {
    this.#text = text
  }

  document(): JsonNode {
    this.#skipBlank()
    const node = this.#value()
    this.#skipBlank()
    if (this.#at !== this.#text.length) throw this.#wrong('there is more after the document')
    return node
  }

  #value(): JsonNode {
    switch (this.#text[this.#at]) {
      case '{':
        return this.#nested(() => this.#object())
      case '[':
        return this.#nested(() => this.#list())
      case '"': {
        const start = this.#at
        const value = this.#string()
        return { type: 'string', start, end: this.#at, value }
      }
      case 't':
        return this.#word('true', { type: 'boolean', value: true })
      case 'f':
        return this.#word('false', { type: 'boolean', value: false })
      case 'n':
        return this.#word('null', { type: 'null' })
      default:
        return this.#number()
    }
  }

  #nested(parse: () => JsonNode): JsonNode {
    if (++this.#depth > maximumDepth) throw this.#wrong('it is nested too deeply')
    const node = parse()
    this.#depth--
    return node
  }

  #object(): JsonNode {
    const start = this.#at++
    const members = new Map<string, JsonNode>()
    this.#skipBlank()
    if (this.#take('}')) return { type: 'object', start, end: this.#at, members }
    for (;;) {
      this.#skipBlank()
      if (this.#text[this.#at] !== '"') throw this.#wrong('a name is missing')
      const name = this.#string()
      if (members.has(name)) throw this.#wrong(`the name ${JSON.stringify(name.slice(0, 64))} comes twice`)
      this.#skipBlank()
      if (!this.#take(':')) throw this.#wrong('a colon is missing')
      this.#skipBlank()
      members.set(name, this.#value())
      this.#skipBlank()
      if (this.#take('}')) return { type: 'object', start, end: this.#at, members }
      if (!this.#take(',')) throw this.#wrong('a comma or brace is missing')
    }
  }

  #list(): JsonNode {
    const start = this.#at++
    const items: JsonNode[] = []
    this.#skipBlank()
    if (this.#take(']')) return { type: 'list', start, end: this.#at, items }
    for (;;) {
      this.#skipBlank()
      items.push(this.#value())
      this.#skipBlank()
      if (this.#take(']')) return { type: 'list', start, end: this.#at, items }
      if (!this.#take(',')) throw this.#wrong('a comma or bracket is missing')
    }
  }

  #string(): string {
    const start = this.#at
    const text = this.#text
    let escaped = false
    let at = start + 1
    for (; ; at++) {
      const code = text.charCodeAt(at)
      if (code === 0x22) break
      if (code === 0x5c) {
        escaped = true
        at++
      } else if (code < 0x20 || at >= text.length) throw this.#wrong('a string is not closed')
    }
    this.#at = at + 1
    if (!escaped) return text.slice(start + 1, at)
    try {
      return JSON.parse(text.slice(start, this.#at)) as string
    } catch {
      throw this.#wrong('a string has an escape that there is not')
    }
  }

  #number(): JsonNode {
    number.lastIndex = this.#at
    const [digits] = number.exec(this.#text) ?? []
    if (digits === undefined) throw this.#wrong('a value is missing')
    const start = this.#at
    this.#at += digits.length
    return { type: 'number', start, end: this.#at, value: Number(digits) }
  }

  #word(
    word: string,
    node: { readonly type: 'null' } | { readonly type: 'boolean'; readonly value: boolean },
  ): JsonNode {
    if (!this.#text.startsWith(word, this.#at)) throw this.#wrong('a value is missing')
    const start = this.#at
    this.#at += word.length
    return { ...node, start, end: this.#at }
  }

  #take(character: string): boolean {
    if (this.#text[this.#at] !== character) return false
    this.#at++
    return true
  }

  #skipBlank(): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at)
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return
      this.#at++
    }
  }

  #wrong(what: string): Malformed {
    return new Malformed(`${what} (at character ${this.#at})`)
  }
}

const number = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y
