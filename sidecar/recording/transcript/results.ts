/** What a command was answered, as tables and messages. No more of it is kept than a reader asks for. */
import type { Shown } from '../../protocols/replays.ts'

/** A table, and what else came until the target said that it is complete. */
export interface Result {
  /** Absent where the response doesn't name them. */
  columns: readonly string[] | undefined
  readonly rows: (readonly (string | null)[])[]
  /** Rows that are not in {@link rows}. */
  rowsLeftOut: number
  /** Data in bulk, as text. */
  copied: string
  /** Bytes of it that are not in {@link copied}. */
  copiedLeftOut: number
  readonly messages: Message[]
  /** `SELECT 5` */
  tag: string | undefined
}

export type Message = Extract<Shown, { kind: 'error' | 'notice' | 'unreadable' }>

/** How much of a command's answer is kept. */
export interface Extent {
  readonly rows: number
  readonly characters: number
}

export class ResultCollector {
  readonly results: Result[] = []
  readonly #extent: Extent
  #rows = 0
  #characters = 0
  #open: Result | undefined

  constructor(extent: Extent) {
    this.#extent = extent
  }

  add(shown: Shown): void {
    switch (shown.kind) {
      case 'columns': {
        // of a prepared statement they are told again
        if (this.#open?.columns) this.#open = undefined
        this.#result().columns = shown.columns.map(({ name }) => name)
        return
      }
      case 'row':
        return this.#row(shown.values)
      case 'copied':
        return this.#copied(shown.bytes)
      case 'complete':
        this.#result().tag = shown.tag
        this.#open = undefined
        return
      default:
        if (this.#take(shown.kind === 'unreadable' ? 0 : shown.message.length))
          this.#result().messages.push(shown)
    }
  }

  #row(values: readonly (string | null)[]): void {
    const result = this.#result()
    const length = values.reduce((sum, value) => sum + (value?.length ?? 0), 0)
    if (result.rowsLeftOut === 0 && this.#rows < this.#extent.rows && this.#take(length)) {
      this.#rows++
      result.rows.push(values)
    } else result.rowsLeftOut++
  }

  #copied(bytes: Buffer): void {
    const result = this.#result()
    if (result.copiedLeftOut === 0 && this.#take(bytes.length)) result.copied += bytes.toString('utf8')
    else result.copiedLeftOut += bytes.length
  }

  /** @returns whether there is room for so many characters. */
  #take(characters: number): boolean {
    if (this.#characters + characters > this.#extent.characters) return false
    this.#characters += characters
    return true
  }

  #result(): Result {
    if (!this.#open) {
      this.#open = {
        columns: undefined,
        rows: [],
        rowsLeftOut: 0,
        copied: '',
        copiedLeftOut: 0,
        messages: [],
        tag: undefined,
      }
      this.results.push(this.#open)
    }
    return this.#open
  }
}
