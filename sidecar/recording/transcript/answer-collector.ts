/** What one command is answered, as far as it was read. */
import type { ResponseReplay } from '../../protocols/replays.ts'
import type { CutEntry } from '../entries.ts'
import { type Extent, type Result, ResultCollector } from './results.ts'

export interface Collected {
  readonly results: readonly Result[]
  /** What masks hid of them is in them, as far as it was kept. */
  readonly unmasked: boolean
  /** Of data that the client sent. */
  readonly inputBytes: number
  readonly cuts: readonly CutEntry[]
}

export class AnswerCollector {
  readonly #replay: ResponseReplay | undefined
  readonly #extent: Extent
  #results: ResultCollector
  #cuts: CutEntry[] = []
  #inputBytes = 0
  #unreadable = false
  #unmasked = false
  /** Whether there is anything of an answer. */
  begun = false

  constructor(replay: ResponseReplay | undefined, extent: Extent) {
    this.#replay = replay
    this.#extent = extent
    this.#results = new ResultCollector(extent)
  }

  response(bytes: Buffer, original: Buffer | undefined): void {
    this.begun = true
    this.#unmasked ||= original !== undefined
    if (!this.#replay || this.#unreadable) return
    for (const shown of this.#replay.push(original ?? bytes)) {
      this.#unreadable ||= shown.kind === 'unreadable'
      this.#results.add(shown)
    }
  }

  input(bytes: Buffer): void {
    this.begun = true
    this.#inputBytes += bytes.length
  }

  cut(entry: CutEntry): void {
    if (entry.what === 'response') this.pause()
    this.#cuts.push(entry)
  }

  /** What comes next doesn't go on where the last bytes ended. */
  pause(): void {
    this.#replay?.cut()
  }

  get hasResults(): boolean {
    return this.#results.results.length > 0
  }

  /** The answer is over. The next one begins. */
  take(): Collected {
    const collected = {
      results: this.#results.results,
      unmasked: this.#unmasked,
      inputBytes: this.#inputBytes,
      cuts: this.#cuts,
    }
    if (this.#unreadable) this.pause()
    this.#results = new ResultCollector(this.#extent)
    this.#cuts = []
    this.#inputBytes = 0
    this.begun = this.#unreadable = this.#unmasked = false
    return collected
  }
}
