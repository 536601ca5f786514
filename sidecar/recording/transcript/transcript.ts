/** A recording as people read it: commands with their answers, step by step, and where it is not all that happened. */
import { replayOf } from '../../protocols/replays.ts'
import type { CommandEntry, EndEntry, LimitEntry, ModeEntry, OutcomeEntry, StartEntry } from '../entries.ts'
import { type From, RecordingError, type RecordingReader } from '../reader.ts'
import { AnswerCollector, type Collected } from './answer-collector.ts'
import type { Extent } from './results.ts'

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

export interface Answer extends Collected {
  readonly kind: 'answer'
  readonly time: number
  /** Absent when its beginning is not in what was read. */
  readonly command: { readonly number: number; readonly entry: CommandEntry } | undefined
  /** Absent when the recording breaks off before. */
  readonly outcome: OutcomeEntry | undefined
}

/** Nobody has more commands waiting; those that have no outcome because it isn't recorded are forgotten then. */
const maximumWaiting = 10_000

/** Nobody is answered so many commands at once. */
const maximumAnswers = 1000

/** @param extent how much of each answer is kept: memory stays bounded by it. @param from as the reader's. */
export async function* transcript(
  reader: RecordingReader,
  extent: Extent,
  from?: From,
): AsyncGenerator<Step, undefined> {
  const waiting = new Map<string, { readonly number: number; readonly entry: CommandEntry }>()
  const newCollector = (): AnswerCollector => new AnswerCollector(replayOf(reader.header.protocol), extent)
  const inOrder = newCollector()
  /** By the references of commands that are answered at once. */
  const concurrent = new Map<string, AnswerCollector>()
  let time = 0
  let over = false
  const answer = (outcome: OutcomeEntry): Answer => {
    const { reference } = outcome
    const command = waiting.get(reference)
    const collected = (concurrent.get(reference) ?? inOrder).take()
    waiting.delete(reference)
    concurrent.delete(reference)
    return { kind: 'answer', time, command, outcome, ...collected }
  }
  function* breaksOff(reference: string, collector: AnswerCollector): Generator<Answer> {
    concurrent.delete(reference)
    const command = waiting.get(reference)
    // of a command that is over somebody may still send something
    if (!command && !collector.hasResults) return
    yield { kind: 'answer', time, command, outcome: undefined, ...collector.take() }
  }
  function* unfinished(): Generator<Answer> {
    const [only] = waiting.size === 1 ? waiting.values() : []
    if (inOrder.begun) yield { kind: 'answer', time, command: only, outcome: undefined, ...inOrder.take() }
    yield* unfinishedConcurrent()
  }
  function* unfinishedConcurrent(): Generator<Answer> {
    for (const [reference, collector] of concurrent) yield* breaksOff(reference, collector)
  }
  function* collectorOf(reference: string | undefined): Generator<Answer, AnswerCollector> {
    if (reference === undefined) return inOrder
    let collector = concurrent.get(reference)
    if (!collector) {
      const [oldest] = concurrent
      if (concurrent.size >= maximumAnswers && oldest) yield* breaksOff(...oldest)
      collector = newCollector()
      concurrent.set(reference, collector)
    }
    return collector
  }
  try {
    for await (const read of reader.entries(from)) {
      const { entry, of, command: number, unmasked: original } = read
      time = read.time
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
          ;(yield* collectorOf(of)).response(entry.bytes, original)
          break
        case 'input':
          ;(yield* collectorOf(of)).input(entry.bytes)
          break
        case 'cut':
          ;(yield* collectorOf(of)).cut(entry)
          break
        case 'outcome':
          yield answer(entry)
          break
        case 'mode':
          for (const collector of [inOrder, ...concurrent.values()]) collector.pause()
          yield { kind: 'mode', time, mode: entry }
          break
        case 'limit':
          over = true
          yield* unfinished()
          yield { kind: 'limit', time, limit: entry }
          break
        case 'end':
          over = true
          yield* unfinishedConcurrent()
          yield { kind: 'end', time, end: entry }
      }
    }
  } catch (error) {
    if (!(error instanceof RecordingError)) throw error
    yield* unfinished()
    yield { kind: 'broken off', time, state: 'altered', what: error.message }
    return
  }
  if (over) return
  yield* unfinished()
  yield {
    kind: 'broken off',
    time,
    state: 'no end',
    what: 'it is being written, the gateway was killed, or its end was cut off',
  }
}
