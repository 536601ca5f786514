/** A recording as people read it: commands with their answers, step by step, and where it is not all that happened. */
import { replayOf } from '../../protocols/replays.ts'
import type {
  CommandEntry,
  CutEntry,
  EndEntry,
  LimitEntry,
  ModeEntry,
  OutcomeEntry,
  StartEntry,
} from '../entries.ts'
import { type From, RecordingError, type RecordingReader } from '../reader.ts'
import { type Extent, type Result, ResultCollector } from './results.ts'

/** Times are microseconds since the recording's start. */
export type Step =
  | { readonly kind: 'start'; readonly time: number; readonly start: StartEntry }
  /** It was decided. One that was held comes again when it is decided again. */
  | {
      readonly kind: 'command'
      readonly time: number
      /** Of the recording's, from 0 on. */
      readonly number: number
      readonly command: CommandEntry
    }
  | Answer
  | { readonly kind: 'mode'; readonly time: number; readonly mode: ModeEntry }
  | { readonly kind: 'limit'; readonly time: number; readonly limit: LimitEntry }
  | { readonly kind: 'end'; readonly time: number; readonly end: EndEntry }
  /** Nothing more can be told of the session: its end is missing, or something was altered. */
  | {
      readonly kind: 'broken off'
      readonly time: number
      readonly state: 'no end' | 'altered'
      readonly what: string
    }

export interface Answer {
  readonly kind: 'answer'
  readonly time: number
  /** Absent when its beginning is not in what was read. */
  readonly command: { readonly number: number; readonly entry: CommandEntry } | undefined
  /** Absent when the recording breaks off before. */
  readonly outcome: OutcomeEntry | undefined
  readonly results: readonly Result[]
  /** What masks hid of them is in them, as far as it was kept. */
  readonly unmasked: boolean
  /** Of data that the client sent. */
  readonly inputBytes: number
  readonly cuts: readonly CutEntry[]
}

/** Nobody has more commands waiting; those that have no outcome because it isn't recorded are forgotten then. */
const maximumWaiting = 10_000

/** @param extent how much of each answer is kept: memory stays bounded by it. @param from as the reader's. */
export async function* transcript(
  reader: RecordingReader,
  extent: Extent,
  from?: From,
): AsyncGenerator<Step, undefined> {
  const waiting = new Map<string, { readonly number: number; readonly entry: CommandEntry }>()
  const replay = replayOf(reader.header.protocol)
  let collector = new ResultCollector(extent)
  let cuts: CutEntry[] = []
  let inputBytes = 0
  let unreadable = false
  let unmasked = false
  let answering = false
  let time = 0
  let over = false
  const answer = (outcome: OutcomeEntry | undefined): Answer => {
    const [only] = waiting.size === 1 ? waiting.values() : []
    const command = outcome ? waiting.get(outcome.reference) : only
    if (outcome) waiting.delete(outcome.reference)
    const { results } = collector
    const step: Answer = { kind: 'answer', time, command, outcome, results, unmasked, inputBytes, cuts }
    collector = new ResultCollector(extent)
    cuts = []
    inputBytes = 0
    answering = false
    if (unreadable) replay?.cut()
    unreadable = unmasked = false
    return step
  }
  try {
    for await (const { time: at, entry, command: number, unmasked: original } of reader.entries(from)) {
      time = at
      switch (entry.type) {
        case 'start':
          yield { kind: 'start', time, start: entry }
          break
        case 'command': {
          const [oldest] = waiting.keys()
          if (waiting.size >= maximumWaiting && oldest !== undefined) waiting.delete(oldest)
          waiting.set(entry.reference, { number, entry })
          yield { kind: 'command', time, number, command: entry }
          break
        }
        case 'response':
          answering = true
          unmasked ||= original !== undefined
          if (replay && !unreadable)
            for (const shown of replay.push(original ?? entry.bytes)) {
              unreadable ||= shown.kind === 'unreadable'
              collector.add(shown)
            }
          break
        case 'input':
          answering = true
          inputBytes += entry.bytes.length
          break
        case 'cut':
          if (entry.what === 'response') replay?.cut()
          cuts.push(entry)
          break
        case 'outcome':
          yield answer(entry)
          break
        case 'mode':
          replay?.cut()
          yield { kind: 'mode', time, mode: entry }
          break
        case 'limit':
          over = true
          if (answering) yield answer(undefined)
          yield { kind: 'limit', time, limit: entry }
          break
        case 'end':
          over = true
          yield { kind: 'end', time, end: entry }
      }
    }
  } catch (error) {
    if (!(error instanceof RecordingError)) throw error
    if (answering) yield answer(undefined)
    yield { kind: 'broken off', time, state: 'altered', what: error.message }
    return
  }
  if (over) return
  if (answering) yield answer(undefined)
  yield {
    kind: 'broken off',
    time,
    state: 'no end',
    what: 'it is being written, the gateway was killed, or its end was cut off',
  }
}
