/** Ties every line to the one before it, so that a gap, an edit or another order shows. docs/audit.md has the rules. */
import { hash } from 'node:crypto'
import { newReference } from './reference.ts'

/** Version of the lines' form. */
export const schemaVersion = 1

/** Where a chain has got to. */
export interface ChainEnd {
  /** Reference of the run that wrote it. */
  readonly source: string
  /** Number of its last line, from 1. */
  readonly seq: number
  /** SHA-256 of that line without its end, in hexadecimal. */
  readonly hash: string
}

/** What the first line of all is tied to. */
export const nothingBefore = '0'.repeat(64)

/** The chain of one run. */
export class Chain {
  readonly source = newReference()
  /** What all lines begin with. */
  readonly #start = `{"v":${schemaVersion},"source":"${this.source}"`
  #seq = 0
  #hash: string

  /** @param before the end of the chain that it goes on from. */
  constructor(before: ChainEnd | undefined) {
    this.#hash = before?.hash ?? nothingBefore
  }

  /** Number of the last line. */
  get seq(): number {
    return this.#seq
  }

  /**
   * @param line of this form and source, with its end.
   * @returns the line in its place.
   */
  link(line: string): string {
    const place = `${this.#start},"seq":${++this.#seq},"previous":"${this.#hash}"`
    const linked = place + line.slice(this.#start.length, -1)
    this.#hash = hash('sha256', linked)
    return `${linked}\n`
  }
}

/** @returns the end of the chain that a line of a trail is, if it is one. */
export function chainEnd(line: Buffer): ChainEnd | undefined {
  try {
    const { source, seq } = JSON.parse(line.toString()) as Partial<ChainEnd>
    return typeof source === 'string' && Number.isSafeInteger(seq)
      ? { source, seq: Number(seq), hash: hash('sha256', line) }
      : undefined
  } catch {
    return undefined
  }
}
