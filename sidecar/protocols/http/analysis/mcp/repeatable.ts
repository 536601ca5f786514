/** Messages without the numbers by which a client tells its own requests apart: all other bytes as they are. */
import { readString } from '../../bodies/json/fields.ts'
import { JsonReader, type JsonSink } from '../../bodies/json/reader.ts'

/** @param body one message or a batch of them, which is JSON. */
export function withoutNumbers(body: Buffer): Buffer {
  const finder = new NumberFinder()
  new JsonReader(finder, { sequence: false, maximumStringBytes: Number.MAX_SAFE_INTEGER }).read(body)
  const parts: Buffer[] = []
  let done = 0
  for (const { start, end } of finder.found) {
    parts.push(body.subarray(done, start), Buffer.from('null'))
    done = end
  }
  return Buffer.concat([...parts, body.subarray(done)])
}

/** Finds `id` and `params._meta.progressToken`. */
class NumberFinder implements JsonSink {
  readonly found: { readonly start: number; readonly end: number }[] = []
  readonly #levels: { readonly isObject: boolean; key: string }[] = []

  open(isObject: boolean): void {
    this.#levels.push({ isObject, key: '' })
  }

  close(): void {
    this.#levels.pop()
  }

  key(bytes: Buffer, start: number, end: number): void {
    const level = this.#levels.at(-1)
    if (level) level.key = readString(bytes, start, end)
  }

  string(_bytes: Buffer, start: number, end: number): void {
    this.scalar(_bytes, start, end)
  }

  scalar(_bytes: Buffer, start: number, end: number): void {
    const levels = this.#levels[0]?.isObject === false ? this.#levels.slice(1) : this.#levels
    const path = levels.map(({ isObject, key }) => (isObject ? key : '[]')).join('/')
    if (path === 'id' || path === 'params/_meta/progressToken') this.found.push({ start, end })
  }

  /** There is none: all of the body is here already. */
  longString(): void {}
  longStringEnd(): void {}
}
