/** A list of tools with only those that may be called: what an agent doesn't know of, it doesn't try. */
import type { Result } from '../../../../session.ts'
import { readString } from '../../bodies/json/fields.ts'
import { JsonReader, type JsonSink } from '../../bodies/json/reader.ts'

/** @param text one message or a batch of them. @returns the text itself where nothing has to go. */
export function filterTools(text: Buffer, mayCall: (tool: string) => boolean): Result<Buffer, string> {
  const finder = new ToolFinder()
  const reader = new JsonReader(finder, { sequence: false, maximumStringBytes: Number.MAX_SAFE_INTEGER })
  const problem = reader.read(text) ?? reader.end()
  if (problem !== undefined) return { ok: false, error: problem }
  const parts: Buffer[] = []
  let done = 0
  for (const { start, end, elements } of finder.lists) {
    const kept = elements.filter(({ name }) => name !== undefined && mayCall(name))
    if (kept.length === elements.length) continue
    parts.push(text.subarray(done, start))
    for (const [index, element] of kept.entries())
      parts.push(Buffer.from(index === 0 ? '' : ','), text.subarray(element.start, element.end))
    done = end
  }
  parts.push(text.subarray(done))
  return { ok: true, value: done === 0 ? text : Buffer.concat(parts) }
}

interface Tool {
  readonly start: number
  readonly end: number
  /** Absent where it has none, or several. */
  readonly name: string | undefined
}

/** Between its brackets. */
interface ToolList {
  readonly start: number
  readonly end: number
  readonly elements: readonly Tool[]
}

interface Level {
  readonly isObject: boolean
  readonly start: number
  key: string
}

/** Finds `result.tools` of a message, however often it is written. */
class ToolFinder implements JsonSink {
  readonly lists: ToolList[] = []
  readonly #levels: Level[] = []
  #elements: Tool[] = []
  #names: (string | undefined)[] = []

  open(isObject: boolean, at: number): void {
    this.#levels.push({ isObject, start: at, key: '' })
    if (this.#isList()) this.#elements = []
    if (this.#isTool()) this.#names = []
  }

  close(_isObject: boolean, at: number): void {
    const start = this.#levels.at(-1)?.start ?? at
    if (this.#isTool())
      this.#elements.push({ start, end: at + 1, name: this.#names.length === 1 ? this.#names[0] : undefined })
    if (this.#isList()) this.lists.push({ start: start + 1, end: at, elements: this.#elements })
    this.#levels.pop()
  }

  key(bytes: Buffer, start: number, end: number): void {
    const level = this.#levels.at(-1)
    if (level) level.key = readString(bytes, start, end)
  }

  string(bytes: Buffer, start: number, end: number): void {
    this.#value(start, end, readString(bytes, start, end))
  }

  scalar(_bytes: Buffer, start: number, end: number): void {
    this.#value(start, end, undefined)
  }

  longString(): void {}
  longStringEnd(): void {}

  #value(start: number, end: number, text: string | undefined): void {
    if (this.#isTool() && this.#levels.at(-1)?.key === 'name') this.#names.push(text)
    // what is no object is no tool that one could decide about
    if (this.#isList()) this.#elements.push({ start, end, name: undefined })
  }

  /** Whether the innermost level is a list of tools. */
  #isList(): boolean {
    return this.#isListAt(this.#levels.length - 1)
  }

  /** Whether the innermost level is an element of one. */
  #isTool(): boolean {
    return this.#isListAt(this.#levels.length - 2)
  }

  #isListAt(index: number): boolean {
    const isBatch = this.#levels[0]?.isObject === false
    const message = this.#levels[isBatch ? 1 : 0]
    const result = this.#levels[isBatch ? 2 : 1]
    return (
      index === (isBatch ? 3 : 2) &&
      message?.isObject === true &&
      message.key === 'result' &&
      result?.isObject === true &&
      result.key === 'tools' &&
      this.#levels[index]?.isObject === false
    )
  }
}
