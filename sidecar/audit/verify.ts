/** Reads audit trails back and holds their chains against their lines. docs/audit.md says what can be shown so. */
import { hash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import type { Readable } from 'node:stream'
import type { ChainEnd } from './chain.ts'
import { nothingBefore } from './chain.ts'

/** Something that is not as it was written. */
export interface AuditProblem {
  readonly file: string
  /** From 1. */
  readonly line: number
  readonly source?: string
  readonly message: string
}

/** What is there of one run. */
export interface AuditChain {
  readonly source: string
  /** Numbers of the first and the last line. */
  readonly first: number
  readonly last: number
  /** SHA-256 of the last line: compared with another copy it tells whether anything was written anew. */
  readonly hash: string
  /** Whether it has its end; without, the run goes on, was killed, or the end was cut off. */
  readonly ended: boolean
  /** Lines that came more than once, as deliveries may. */
  readonly repeated: number
  /** Lines that were dropped and that a line says so of. */
  readonly dropped: number
}

export interface AuditTrail {
  readonly chains: readonly AuditChain[]
  /** The first one in the order of the files first. */
  readonly problems: readonly AuditProblem[]
}

export interface AuditInput {
  readonly name: string
  readonly stream: Readable
}

interface Gap {
  readonly problem: AuditProblem
  readonly first: number
  readonly last: number
}

interface ChainState {
  readonly source: string
  readonly first: number
  /** Hashes by number; only of the newest lines, which may come again. */
  readonly hashes: Map<number, string>
  last: number
  hash: string
  ended: boolean
  repeated: number
  gaps: Gap[]
  readonly droppedRanges: (readonly [number, number])[]
}

/** A delivery after a crash repeats no more than a segment of the spool. */
const remembered = 20_000
const rememberedChains = 16
const maximumProblems = 1_000

/** @throws the system's error when one can't be read. */
export async function verifyTrail(inputs: readonly AuditInput[]): Promise<AuditTrail> {
  const verifier = new Verifier()
  for (const { name, stream } of inputs) {
    let number = 0
    for await (const line of linesIn(stream)) verifier.take(name, ++number, line)
    verifier.endOfFile()
  }
  return verifier.end()
}

/** @returns files, as they are named, to be verified in the order in which they were written. */
export async function inOrderOfTime(names: readonly string[]): Promise<AuditInput[]> {
  const begun = await Promise.all(names.map(async (name) => ({ name, place: await firstPlace(name) })))
  return begun
    .sort((a, b) => a.place.localeCompare(b.place))
    .map(({ name }) => ({ name, stream: createReadStream(name) }))
}

class Verifier {
  readonly #chains = new Map<string, ChainState>()
  readonly #problems: AuditProblem[] = []
  /** What is no line may be half of one, if nothing else of its run follows. */
  #torn: AuditProblem | undefined

  take(file: string, number: number, bytes: Buffer): void {
    const line = parsed(bytes)
    if (!line) {
      this.#settleTorn()
      this.#torn = { file, line: number, message: 'this is no line of an audit trail' }
      return
    }
    const { source, seq } = line
    if (this.#torn && line.event !== 'audit.start') this.#settleTorn()
    this.#torn = undefined
    const place = { file, line: number, source }
    const own: ChainEnd = { source, seq, hash: hash('sha256', bytes) }
    const chain = this.#chains.get(source)
    if (chain) this.#follow(chain, own, line, place)
    else this.#begin(own, line, place)
  }

  /** A file may end in half a line, which the next one has whole. */
  endOfFile(): void {
    this.#torn = undefined
  }

  end(): AuditTrail {
    const chains = [...this.#chains.values()].map((chain) => this.#conclude(chain))
    return { chains, problems: this.#problems }
  }

  #begin(own: ChainEnd, line: ParsedLine, place: Omit<AuditProblem, 'message'>): void {
    const { source, seq } = own
    const isFirst = this.#chains.size === 0
    this.#forget()
    this.#chains.set(source, {
      source,
      first: seq,
      hashes: new Map([[seq, own.hash]]),
      last: seq,
      hash: own.hash,
      ended: line.event === 'audit.end',
      repeated: 0,
      gaps: [],
      droppedRanges: [],
    })
    if (seq > 1) {
      if (!isFirst) this.#report(place, missing(1, seq - 1, source))
      return
    }
    if (line.after) this.#holdAgainst(line.after, line.previous, isFirst, place)
    else if (line.previous !== nothingBefore)
      this.#report(place, `the first line of ${source} is tied to a line that it does not name`)
  }

  /** Runs that have not gone on for long repeat nothing any more. */
  #forget(): void {
    const old = [...this.#chains.values()].at(-rememberedChains)
    old?.hashes.clear()
  }

  /** A first line says how far the run before had come. */
  #holdAgainst(
    after: Pick<ChainEnd, 'source' | 'seq'>,
    previous: string,
    isFirst: boolean,
    place: Omit<AuditProblem, 'message'>,
  ): void {
    const before = this.#chains.get(after.source)
    if (!before) {
      // the oldest files of a trail may have been removed
      if (!isFirst) this.#report(place, `${after.source}, the run before this one, is missing`)
      return
    }
    if (before.last < after.seq)
      this.#report(place, missing(before.last + 1, after.seq, `${after.source}, the run before,`))
    else if (
      (before.last === after.seq ? before.hash : (before.hashes.get(after.seq) ?? previous)) !== previous
    )
      this.#report(place, `line ${after.seq} of ${after.source}, the run before, is not the line that it was`)
  }

  #follow(chain: ChainState, own: ChainEnd, line: ParsedLine, place: Omit<AuditProblem, 'message'>): void {
    const { source, seq } = own
    if (seq <= chain.last) {
      const known = chain.hashes.get(seq)
      if (known === own.hash) chain.repeated++
      else if (known) this.#report(place, `line ${seq} of ${source} is there twice, and not the same`)
      else this.#report(place, `line ${seq} of ${source} comes after line ${chain.last}`)
      return
    }
    if (chain.ended) this.#report(place, `line ${seq} of ${source} comes after the end of that run`)
    if (seq > chain.last + 1) {
      const first = chain.last + 1
      const message = missing(first, seq - 1, source)
      chain.gaps.push({ problem: { ...place, message }, first, last: seq - 1 })
    } else if (line.previous !== chain.hash)
      this.#report(
        place,
        `line ${chain.last} of ${source}, the one before this, or this one is not as it was written`,
      )
    chain.last = seq
    chain.hash = own.hash
    chain.ended = line.event === 'audit.end'
    chain.hashes.set(seq, own.hash)
    chain.hashes.delete(seq - remembered)
    if (line.event === 'audit.dropped') chain.droppedRanges.push(...line.lines)
  }

  #conclude({ gaps, droppedRanges, source, first, last, hash, ended, repeated }: ChainState): AuditChain {
    let dropped = 0
    const ranges = joined(droppedRanges)
    for (const gap of gaps) {
      const declared = ranges.some(([from, to]) => from <= gap.first && to >= gap.last)
      if (declared) dropped += gap.last - gap.first + 1
      else this.#report(gap.problem, gap.problem.message)
    }
    return { source, first, last, hash, ended, repeated, dropped }
  }

  #settleTorn(): void {
    if (this.#torn) this.#report(this.#torn, this.#torn.message)
    this.#torn = undefined
  }

  #report(place: Omit<AuditProblem, 'message'>, message: string): void {
    if (this.#problems.length < maximumProblems) this.#problems.push({ ...place, message })
  }
}

/** Several lines may each say a part of what is missing in one place. */
function joined(ranges: readonly (readonly [number, number])[]): readonly (readonly [number, number])[] {
  const all: [number, number][] = []
  for (const [from, to] of ranges.toSorted((a, b) => a[0] - b[0])) {
    const last = all.at(-1)
    if (last && from <= last[1] + 1) last[1] = Math.max(last[1], to)
    else all.push([from, to])
  }
  return all
}

function missing(first: number, last: number, source: string): string {
  return first === last
    ? `line ${first} of ${source} is missing`
    : `lines ${first} to ${last} of ${source} are missing`
}

interface ParsedLine extends Omit<ChainEnd, 'hash'> {
  readonly event: string
  readonly previous: string
  readonly after: Pick<ChainEnd, 'source' | 'seq'> | undefined
  /** Of an `audit.dropped`. */
  readonly lines: readonly (readonly [number, number])[]
}

function parsed(bytes: Buffer): ParsedLine | undefined {
  let fields: Readonly<Record<string, unknown>>
  try {
    fields = Object(JSON.parse(bytes.toString()))
  } catch {
    return undefined
  }
  const { source, seq, event, previous, after, lines } = fields
  if (typeof source !== 'string' || typeof event !== 'string' || typeof previous !== 'string')
    return undefined
  if (!Number.isSafeInteger(seq) || Number(seq) < 1) return undefined
  return {
    source,
    seq: Number(seq),
    event,
    previous,
    after: isPlace(after) ? after : undefined,
    lines: Array.isArray(lines) ? lines.filter(isRange) : [],
  }
}

function isPlace(value: unknown): value is Pick<ChainEnd, 'source' | 'seq'> {
  const { source, seq } = Object(value) as Partial<ChainEnd>
  return typeof source === 'string' && Number.isSafeInteger(seq)
}

function isRange(value: unknown): value is readonly [number, number] {
  return Array.isArray(value) && value.length === 2 && value.every(Number.isSafeInteger)
}

/** Without their ends. */
async function* linesIn(stream: Readable): AsyncGenerator<Buffer> {
  let parts: Buffer[] = []
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    let from = 0
    for (let end = chunk.indexOf(0x0a); end >= 0; end = chunk.indexOf(0x0a, from)) {
      yield parts.length === 0
        ? chunk.subarray(from, end)
        : Buffer.concat([...parts, chunk.subarray(from, end)])
      parts = []
      from = end + 1
    }
    if (from < chunk.length) parts.push(chunk.subarray(from))
  }
  if (parts.length > 0) yield Buffer.concat(parts)
}

/** Sortable: what begins within one millisecond is told apart by its run, and files of one run by its lines. */
async function firstPlace(name: string): Promise<string> {
  for await (const line of linesIn(createReadStream(name))) {
    const { source, seq } = parsed(line) ?? {}
    const { time } = Object(source && JSON.parse(line.toString())) as { time?: unknown }
    if (typeof time === 'string') return `${time} ${source} ${String(seq).padStart(16, '0')}`
  }
  return ''
}
