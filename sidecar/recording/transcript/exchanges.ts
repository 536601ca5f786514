/** Commands together with their answers. */
import type { CommandEntry } from '../entries.ts'
import type { Answer, Step } from './transcript.ts'

export interface Exchange {
  readonly kind: 'exchange'
  /** When the command was decided, or answered, if its beginning is not in what was read. In microseconds. */
  readonly time: number
  readonly command: { readonly number: number; readonly entry: CommandEntry } | undefined
  /** Absent when it was held and decided again, or the recording breaks off before. */
  readonly answer: Answer | undefined
}

export type Event = Exchange | Exclude<Step, { kind: 'command' } | Answer>

/** Commands whose answers are awaited; longer ones come without. */
const maximumWaiting = 1000

/** In the order in which they are answered. */
export async function* exchanges(steps: AsyncIterable<Step>): AsyncGenerator<Event, undefined> {
  /** By their references. */
  const waiting = new Map<string, Exchange>()
  function* take(reference: string, answer?: Answer): Generator<Exchange> {
    const exchange = waiting.get(reference)
    if (exchange) yield { ...exchange, answer }
    waiting.delete(reference)
  }
  for await (const step of steps)
    switch (step.kind) {
      case 'command': {
        const { time, number, command: entry } = step
        yield* take(entry.reference)
        const [oldest] = waiting.keys()
        if (waiting.size >= maximumWaiting && oldest !== undefined) yield* take(oldest)
        waiting.set(entry.reference, {
          kind: 'exchange',
          time,
          command: { number, entry },
          answer: undefined,
        })
        break
      }
      case 'answer': {
        const reference = step.outcome?.reference ?? step.command?.entry.reference
        if (reference !== undefined && waiting.has(reference)) yield* take(reference, step)
        else yield { kind: 'exchange', time: step.time, command: step.command, answer: step }
        break
      }
      case 'limit':
      case 'end':
      case 'broken off':
        for (const reference of [...waiting.keys()]) yield* take(reference)
        yield step
        break
      default:
        yield step
    }
}
