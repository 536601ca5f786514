/** A terminal of a recording in asciicast v2: https://docs.asciinema.org/manual/asciicast/v2/ */
import { StringDecoder } from 'node:string_decoder'
import { readResize, readTerminalHead, type TerminalSize } from '@firebreak/sidecar/protocols/terminals.ts'
import type { CommandEntry } from '@firebreak/sidecar/recording/entries.ts'
import { type ReadEntry, RecordingError, type RecordingReader } from '@firebreak/sidecar/recording/reader.ts'
import { clip, printable } from '../../approvals/text.ts'
import { cutInWords } from '../../replay/lines.ts'

/** Where no client has said. */
const usualSize: TerminalSize = { columns: 80, rows: 24 }
/** Of what a marker says, in characters. */
const longestLabel = 200

/** A program that ran in a terminal. */
export interface Terminal {
  /** Of its command, from 0 on. */
  readonly number: number
  readonly command: CommandEntry
  /** When its response began, in microseconds. */
  readonly time: number
  /** At first. */
  readonly size: TerminalSize | undefined
}

/** `o` output, `i` input, `r` a resize, `m` a marker. */
type EventCode = 'o' | 'i' | 'r' | 'm'

/** In order, up to the first altered block. */
export async function terminalsOf(reader: RecordingReader): Promise<readonly Terminal[]> {
  const found: Program[] = []
  const begun = new Map<string, Program>()
  /** Of those that are answered one after the other. */
  let latest: Program | undefined
  let open: Program | undefined
  try {
    for await (const { time, entry, command: number, of } of reader.entries()) {
      if (entry.type === 'command') {
        const program: Program = { number, command: entry, time: undefined, size: undefined }
        begun.set(entry.reference, program)
        latest = program
      } else if (entry.type === 'outcome') {
        begun.delete(entry.reference)
        if (open?.command.reference === entry.reference) open = undefined
      } else if (entry.type === 'response') {
        const program = of === undefined ? (open ?? latest) : begun.get(of)
        if (!program) continue
        if (program.time !== undefined) program.size ??= readResize(entry.bytes)
        else {
          program.time = time
          const head = readTerminalHead(reader.header.protocol, entry.bytes)
          if (head && of === undefined) open = program
          if (head?.tty) found.push(program)
        }
      }
    }
  } catch (error) {
    if (!(error instanceof RecordingError)) throw error
  }
  return found.map(({ time = 0, ...program }) => ({ ...program, time }))
}

/** A command that may turn out to run in a terminal. */
interface Program extends Omit<Terminal, 'time' | 'size'> {
  /** When its response began. */
  time: number | undefined
  size: TerminalSize | undefined
}

/** @param withInput whether what was typed is in it: also what no terminal shows, such as passwords. */
export async function* asciicast(
  reader: RecordingReader,
  terminal: Terminal,
  withInput: boolean,
): AsyncGenerator<string, undefined> {
  const { columns, rows } = terminal.size ?? usualSize
  const { header } = reader
  const { text } = terminal.command
  const startedAt = Date.parse(header.startedAt) + terminal.time / 1000
  yield line({
    version: 2,
    width: columns,
    height: rows,
    timestamp: Math.floor(startedAt / 1000),
    ...(text !== undefined && { command: printable(text) }),
    title: printable(`${header.identity} with ${header.resource} as ${header.role}, ${header.recording}`),
  })
  const events = eventsOf(reader, terminal, withInput)
  for await (const [time, code, data] of events)
    yield line([Math.max(0, time - terminal.time) / 1_000_000, code, data])
}

type Event = readonly [microseconds: number, code: EventCode, data: string]

async function* eventsOf(
  reader: RecordingReader,
  terminal: Terminal,
  withInput: boolean,
): AsyncGenerator<Event, undefined> {
  const decoders = { o: new StringDecoder('utf8'), i: new StringDecoder('utf8') }
  let isFirstSize = true
  let time = terminal.time
  const marker = (label: string): Event => [time, 'm', clip(printable(label), longestLabel)]
  function* decoded(code: 'o' | 'i', bytes: Buffer): Generator<Event> {
    const text = decoders[code].write(bytes)
    if (text !== '') yield [time, code, text]
  }
  try {
    for await (const { time: at, entry, command } of entriesOf(reader, terminal)) {
      time = at
      switch (entry.type) {
        case 'response': {
          const size = readResize(entry.bytes)
          if (!size) yield* decoded('o', entry.bytes)
          else if (!isFirstSize) yield [time, 'r', `${size.columns}x${size.rows}`]
          if (size) isFirstSize = false
          break
        }
        case 'input':
          if (withInput) yield* decoded('i', entry.bytes)
          break
        case 'command':
          yield marker(`${entry.decision} ${entry.text ?? `command ${command + 1}`}`)
          break
        case 'cut':
          yield marker(cutInWords(entry.what, entry.limit, undefined))
          break
        case 'mode':
          yield marker(`from here on the policy has recorded: ${entry.mode}`)
          break
        case 'limit':
          yield marker(`the recording has reached its largest size, ${entry.bytes} bytes`)
          return
        case 'outcome':
          if (entry.reference !== terminal.command.reference) break
          for (const code of ['o', 'i'] as const) {
            const rest = decoders[code].end()
            if (rest !== '') yield [time, code, rest]
          }
          return
      }
    }
  } catch (error) {
    if (!(error instanceof RecordingError)) throw error
    yield marker(error.message)
    return
  }
  yield marker('the recording breaks off here')
}

/** What comes behind the head of a terminal's response, and is not of a command that is answered beside it. */
async function* entriesOf(
  reader: RecordingReader,
  { number, time: begin, command: { reference } }: Terminal,
): AsyncGenerator<ReadEntry, undefined> {
  let begun = false
  for await (const read of reader.entries({ command: number })) {
    const { entry, of = reference, command, time } = read
    if (of !== reference) continue
    if (begun) yield read
    const isAnswered = entry.type === 'response' && time >= begin
    begun ||= isAnswered && (read.of !== undefined || command === number)
  }
}

/** Only players obey what was recorded: nothing of it is obeyed by who looks at the file. */
function line(value: unknown): string {
  const escaped = JSON.stringify(value).replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) =>
    Array.from(
      { length: character.length },
      (_, index) => `\\u${character.charCodeAt(index).toString(16).padStart(4, '0')}`,
    ).join(''),
  )
  return `${escaped}\n`
}
