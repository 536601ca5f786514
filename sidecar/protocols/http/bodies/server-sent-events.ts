/**
 * Masks events whose data is JSON, or text where only detectors run. An event waits until it is whole: its data may
 * stand on many lines. https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
 */
import { maskDetected } from '@firebreak/policy'
import type { Result } from '../../../session.ts'
import { Output } from '../../output.ts'
import type { BodyTerms } from '../request.ts'
import { JsonMask } from './json/mask.ts'
import {
  type MaskedLabels,
  maximumPreparedBytes,
  maximumValueBytes,
  type Preparation,
  type TextMask,
} from './text-mask.ts'

interface EventLine {
  readonly text: string
  readonly ending: string
}

/** A comment, or a field that an event may have. */
const eventLine = /^(:|$|(data|event|id|retry)(:|$))/

/** How model APIs end a stream of JSON. */
const done = '[DONE]'
const lineFeed = 0x0a
const carriageReturn = 0x0d

export class EventMask implements TextMask {
  readonly #terms: BodyTerms
  readonly #labels: MaskedLabels
  readonly #prepare: Preparation | undefined
  readonly #output = new Output()
  readonly #line = new Output()
  #event: EventLine[] = []
  #eventBytes = 0
  #afterReturn = false

  constructor(terms: BodyTerms, labels: MaskedLabels, prepare?: Preparation) {
    this.#terms = terms
    this.#labels = labels
    this.#prepare = prepare
  }

  push(chunk: Buffer): Result<Buffer, string> {
    let start = 0
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at]
      // a line feed behind a carriage return ends the same line
      const endsBefore = this.#afterReturn && byte !== lineFeed
      const endsHere = byte === lineFeed
      this.#afterReturn = byte === carriageReturn
      if (!endsBefore && !endsHere) continue
      const end = endsHere ? at + 1 : at
      const problem = this.#hold(chunk, start, end) ?? this.#lineDone()
      if (problem !== undefined) return { ok: false, error: problem }
      start = end
    }
    const problem = this.#hold(chunk, start, chunk.length)
    return problem === undefined ? { ok: true, value: this.#output.take() } : { ok: false, error: problem }
  }

  /** What has not ended by an empty line is no event, but some read it. */
  end(): Result<Buffer, string> {
    const problem = this.#lineDone() ?? this.#eventDone()
    return problem === undefined ? { ok: true, value: this.#output.take() } : { ok: false, error: problem }
  }

  #hold(chunk: Buffer, start: number, end: number): string | undefined {
    this.#eventBytes += end - start
    if (this.#eventBytes > (this.#prepare ? maximumPreparedBytes : maximumValueBytes))
      return 'an event is too long'
    this.#line.copy(chunk, start, end)
    return undefined
  }

  #lineDone(): string | undefined {
    const written = this.#line.take().toString()
    const text = written.replace(/(\r\n|\r|\n)$/, '')
    if (written !== '') this.#event.push({ text, ending: written.slice(text.length) })
    return text === '' && written !== '' ? this.#eventDone() : undefined
  }

  #eventDone(): string | undefined {
    const lines = this.#event
    this.#event = []
    this.#eventBytes = 0
    const dataLines = lines.flatMap(({ text }) => dataOf(text) ?? [])
    const data = dataLines.join('\n')
    const masked = dataLines.length === 0 ? data : this.#maskData(data)
    if (masked === undefined) return 'the data of an event is no JSON, and so has no fields that masks go by'
    let isWritten = masked === data
    for (const { text, ending } of lines) {
      // readers pass over it, but whoever looks at the stream itself has it
      if (this.#terms.masksFields && !eventLine.test(text)) return 'a line in the events is of none'
      if (dataOf(text) === undefined) this.#write(this.#inspect(text), ending)
      else if (masked === data) this.#write(text, ending)
      else if (!isWritten) {
        this.#write(`data: ${masked.replaceAll('\n', `${ending}data: `)}`, ending)
        isWritten = true
      }
    }
    return undefined
  }

  #write(text: string, ending: string): void {
    this.#output.write(Buffer.from(text + ending))
  }

  /** @returns undefined for what masks can't go by. */
  #maskData(data: string): string | undefined {
    const prepared = this.#prepare?.(Buffer.from(data))
    if (prepared?.ok === false) return undefined
    const masked = this.#maskJson(prepared?.value ?? Buffer.from(data))
    if (masked !== undefined) return masked
    if (data === done) return data
    return this.#terms.masksFields ? undefined : this.#inspect(data)
  }

  /** @returns undefined for what is no JSON. */
  #maskJson(data: Buffer): string | undefined {
    const mask = new JsonMask(this.#terms, this.#labels, true)
    const parts = [mask.push(data), mask.end()]
    const masked = parts.flatMap((part) => (part.ok ? [part.value] : []))
    return masked.length === parts.length ? Buffer.concat(masked).toString() : undefined
  }

  #inspect(text: string): string {
    const masked = maskDetected(text, this.#terms.detectors)
    if (masked !== text) this.#labels.add('event')
    return masked
  }
}

/** @returns undefined for a line that holds no data. */
function dataOf(line: string): string | undefined {
  if (line === 'data') return ''
  return line.startsWith('data:') ? line.slice(line[5] === ' ' ? 6 : 5) : undefined
}
