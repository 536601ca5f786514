/** Messages without the numbers by which a client tells its own requests apart: all other bytes as they are. What an answer answers is no such number. */
import { readString } from '../../bodies/json/fields.ts'
import { JsonReader, type JsonSink } from '../../bodies/json/reader.ts'

/** @param body one message or a batch of them, which is JSON. */
export function withoutNumbers(body: Buffer): Buffer {
  const finder = new NumberFinder()
  new JsonReader(finder, { sequence: false, maximumStringBytes: Number.MAX_SAFE_INTEGER }).read(body)
  const parts: Buffer[] = []
  let done = 0
  for (const { start, end } of finder.found.toSorted((one, other) => one.start - other.start)) {
    parts.push(body.subarray(done, start), Buffer.from('null'))
    done = end
  }
  return Buffer.concat([...parts, body.subarray(done)])
}

interface Span {
  readonly start: number
  readonly end: number
}

/** Finds `id` and `params._meta.progressToken` of messages that ask. */
class NumberFinder implements JsonSink {
  readonly found: Span[] = []
  readonly #levels: { readonly isObject: boolean; key: string }[] = []
  /** Of the message that is read. */
  #numbers: Span[] = []
  #asks = false

  open(isObject: boolean): void {
    this.#levels.push({ isObject, key: '' })
  }

  close(): void {
    this.#levels.pop()
    if (this.#inMessage.length > 0) return
    if (this.#asks) this.found.push(...this.#numbers)
    this.#numbers = []
    this.#asks = false
  }

  key(bytes: Buffer, start: number, end: number): void {
    const level = this.#levels.at(-1)
    if (level) level.key = readString(bytes, start, end)
  }

  string(_bytes: Buffer, start: number, end: number): void {
    this.scalar(_bytes, start, end)
  }

  scalar(_bytes: Buffer, start: number, end: number): void {
    const levels = this.#inMessage
    const isAt = (...path: readonly string[]): boolean =>
      levels.length === path.length &&
      levels.every(({ isObject, key }, index) => isObject && key === path[index])
    if (isAt('method')) this.#asks = true
    if (isAt('id') || isAt('params', '_meta', 'progressToken')) this.#numbers.push({ start, end })
  }

  /** Messages may be several, in a list. */
  get #inMessage(): readonly { readonly isObject: boolean; readonly key: string }[] {
    return this.#levels[0]?.isObject === false ? this.#levels.slice(1) : this.#levels
  }

  /** There is none: all of the body is here already. */
  longString(): void {}
  longStringEnd(): void {}
}
