/** Lists of what a server of MCP offers, with only what may be asked for: what an agent doesn't know of, it doesn't try. */
import type { Result } from '../../../../session.ts'
import { readString } from '../../bodies/json/fields.ts'
import { JsonReader, type JsonSink } from '../../bodies/json/reader.ts'

/** By what each list is called in a result: which member names an element, and how it is asked for by that name. */
export const lists = {
  tools: { member: 'name', method: 'tools/call', parameter: 'name' },
  prompts: { member: 'name', method: 'prompts/get', parameter: 'name' },
  resources: { member: 'uri', method: 'resources/read', parameter: 'uri' },
  resourcetemplates: { member: 'uritemplate', method: 'resources/read', parameter: 'uri' },
} as const

export type ListName = keyof typeof lists

export type MayAsk = (list: ListName, name: string) => boolean

/** Deciding about more would keep everybody else waiting. */
const maximumElements = 5_000

/** @param text one message or a batch of them. @returns the text itself where nothing has to go. */
export function filterLists(text: Buffer, mayAsk: MayAsk): Result<Buffer, string> {
  const finder = new ListFinder()
  const reader = new JsonReader(finder, { sequence: false, maximumStringBytes: Number.MAX_SAFE_INTEGER })
  const problem = reader.read(text) ?? reader.end()
  if (problem !== undefined) return { ok: false, error: problem }
  if (finder.lists.reduce((sum, { elements }) => sum + elements.length, 0) > maximumElements)
    return { ok: false, error: `a list has more than ${maximumElements} elements` }
  const parts: Buffer[] = []
  let done = 0
  for (const { list, start, end, elements } of finder.lists) {
    const kept = elements.filter(({ name }) => name !== undefined && mayAsk(list, name))
    if (kept.length === elements.length) continue
    parts.push(text.subarray(done, start))
    for (const [index, element] of kept.entries())
      parts.push(Buffer.from(index === 0 ? '' : ','), text.subarray(element.start, element.end))
    done = end
  }
  parts.push(text.subarray(done))
  return { ok: true, value: done === 0 ? text : Buffer.concat(parts) }
}

interface Element {
  readonly start: number
  readonly end: number
  /** Absent where it has none, or several. */
  readonly name: string | undefined
}

/** Between its brackets. */
interface List {
  readonly list: ListName
  readonly start: number
  readonly end: number
  readonly elements: readonly Element[]
}

interface Level {
  readonly isObject: boolean
  readonly start: number
  key: string
}

/** Finds the lists in the `result` of messages, however often each is written. */
class ListFinder implements JsonSink {
  readonly lists: List[] = []
  readonly #levels: Level[] = []
  #elements: Element[] = []
  #names: (string | undefined)[] = []

  open(isObject: boolean, at: number): void {
    this.#levels.push({ isObject, start: at, key: '' })
    if (this.#list() !== undefined) this.#elements = []
    if (this.#listAround() !== undefined) this.#names = []
  }

  close(_isObject: boolean, at: number): void {
    const start = this.#levels.at(-1)?.start ?? at
    if (this.#listAround() !== undefined)
      this.#elements.push({ start, end: at + 1, name: this.#names.length === 1 ? this.#names[0] : undefined })
    const list = this.#list()
    if (list !== undefined) this.lists.push({ list, start: start + 1, end: at, elements: this.#elements })
    this.#levels.pop()
  }

  /** Many clients don't tell capitals from small letters in names. */
  key(bytes: Buffer, start: number, end: number): void {
    const level = this.#levels.at(-1)
    if (level) level.key = readString(bytes, start, end).normalize('NFKC').toLowerCase()
  }

  string(bytes: Buffer, start: number, end: number): void {
    this.#value(start, end, readString(bytes, start, end))
  }

  scalar(_bytes: Buffer, start: number, end: number): void {
    this.#value(start, end, undefined)
  }

  /** There is none: all of the text is here already. */
  longString(): void {}
  longStringEnd(): void {}

  #value(start: number, end: number, text: string | undefined): void {
    const around = this.#listAround()
    if (around !== undefined && this.#levels.at(-1)?.key === lists[around].member) this.#names.push(text)
    // what is no object has no name that one could decide about
    if (this.#list() !== undefined) this.#elements.push({ start, end, name: undefined })
  }

  /** Which list the innermost level is, if it is one. */
  #list(): ListName | undefined {
    return this.#listAt(this.#levels.length - 1)
  }

  /** Of which list the innermost level is an element, if it is one. */
  #listAround(): ListName | undefined {
    return this.#listAt(this.#levels.length - 2)
  }

  #listAt(index: number): ListName | undefined {
    const first = this.#levels[0]?.isObject === false ? 1 : 0
    const [message, result] = [this.#levels[first], this.#levels[first + 1]]
    const isInResult = index === first + 2 && message?.key === 'result' && result?.isObject === true
    if (!isInResult || this.#levels[index]?.isObject !== false) return undefined
    return Object.hasOwn(lists, result.key) ? (result.key as ListName) : undefined
  }
}
