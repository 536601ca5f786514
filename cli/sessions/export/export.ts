import { open } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import { parseArgs } from 'node:util'
import type { RecordingReader } from '@firebreak/sidecar/recording/reader.ts'
import { type Event, exchanges } from '@firebreak/sidecar/recording/transcript/exchanges.ts'
import { transcript } from '@firebreak/sidecar/recording/transcript/transcript.ts'
import { type Verification, verifyRecording } from '@firebreak/sidecar/recording/verify.ts'
import { type CliCommand, UsageError } from '../../command.ts'
import { readingHelp, readingOptions, withRecording } from '../recording.ts'
import { asciicast, type Terminal, terminalsOf } from './asciicast.ts'
import { page } from './html.ts'

const options = {
  ...readingOptions,
  html: { type: 'string' },
  json: { type: 'string' },
  asciicast: { type: 'string' },
  command: { type: 'string' },
  input: { type: 'boolean' },
  rows: { type: 'string' },
} as const

/** In the page. */
const defaultRows = 1000
/** Of one answer. */
const maximumCharacters = 64 * 1024 * 1024

export const exportRecording: CliCommand = {
  name: 'export',
  summary: 'write a recording to a file to share',
  options: Object.keys(options),
  help: `Writes a recording, decrypted, to a file that only its owner can read (mode 0600): commands, decisions, and answers as
the agent got them, masked; with a key for what masks hid, that is shown instead, and said so.

Usage: firebreak sessions export ID (--html FILE | --json FILE) [--rows N]
       firebreak sessions export ID --asciicast FILE [--command N] [--input]
       [--recordings PLACE | --config DIR | --state DIR] [--key FILE]… [--signer KEY]…

  --html FILE       one page with a timeline and a filter, which loads nothing from anywhere
  --json FILE       a JSON object a line; - is the standard output
  --asciicast FILE  what a terminal showed, in asciicast v2 for asciinema's players; - is the standard output. A player obeys
                    control sequences that a program wrote
  --command N       the terminal of the Nth command, where the recording has several
  --input           what was typed as well, also what no terminal showed, such as passwords
  --rows N          not more than so many rows of an answer (default: ${defaultRows} in a page, all in JSON)
${readingHelp}

Exit code 0. 1: there is no such recording, or it was altered: what comes before that is written, and says so.`,
  async run(words) {
    const { values, positionals } = parseArgs({ args: [...words], allowPositionals: true, options })
    const { html, json, asciicast: cast } = values
    const [path, ...others] = [html, json, cast].filter((file) => file !== undefined)
    if (path === undefined || others.length > 0)
      throw new UsageError('export takes one of --html FILE, --json FILE and --asciicast FILE')
    if (cast === undefined && (values.command !== undefined || values.input))
      throw new UsageError('--command and --input go with --asciicast')
    const rows = rowsOf(values.rows, html === undefined ? Number.POSITIVE_INFINITY : defaultRows)
    return await withRecording(values, positionals, 'export', async (reader, source, { trusted }) => {
      const verification = await verifyRecording(source, reader.header.recording, trusted)
      const events = exchanges(transcript(reader, { rows, characters: maximumCharacters }))
      const text =
        cast !== undefined
          ? asciicast(reader, await terminalOf(reader, values.command), values.input === true)
          : html === undefined
            ? jsonLines(reader, verification, events)
            : page(reader, inWords(verification), verification.proven?.microseconds ?? 0, events)
      if (path === '-') await pipeline(text, process.stdout, { end: false })
      else await writeAll(path, text)
      return verification.state === 'broken' ? 1 : 0
    })
  },
}

/** @throws Error in words, when there is none, or it isn't said which. */
async function terminalOf(reader: RecordingReader, command: string | undefined): Promise<Terminal> {
  const { recording } = reader.header
  const terminals = await terminalsOf(reader)
  const [only, ...more] = terminals
  if (!only) throw new Error(`nothing in recording ${recording} ran in a terminal`)
  const numbers = terminals.map(({ number }) => number + 1)
  if (command === undefined && more.length > 0)
    throw new UsageError(`--command N is needed: commands ${numbers.join(', ')} ran in terminals`)
  if (command === undefined) return only
  const found = terminals.find(({ number }) => String(number + 1) === command)
  if (!found)
    throw new Error(`command ${command} ran in no terminal: of these there are ${numbers.join(', ')}`)
  return found
}

async function writeAll(path: string, text: AsyncIterable<string>): Promise<void> {
  await using file = await open(path, 'w', 0o600)
  // one that was there before may have been for others too
  await file.chmod(0o600)
  await file.writeFile(text)
}

async function* jsonLines(
  { header }: RecordingReader,
  { state }: Verification,
  events: AsyncIterable<Event>,
): AsyncGenerator<string, undefined> {
  const { key: _, unmasked: _unmasked, ...known } = header
  yield `${JSON.stringify({ kind: 'recording', ...known, state })}\n`
  for await (const event of events) yield `${JSON.stringify(asJson(event))}\n`
}

/** Commands are numbered as people see them. */
function asJson(event: Event): object {
  if (event.kind !== 'exchange') return event
  const { kind, time, command, answer } = event
  const { results, unmasked, outcome, inputBytes, cuts } = answer ?? {}
  return {
    ...{ kind, time, number: command && command.number + 1, command: command?.entry },
    ...{ answeredAt: answer?.time, results, outcome, inputBytes, cuts },
    ...(unmasked && { unmasked }),
  }
}

function inWords(verification: Verification): string {
  switch (verification.state) {
    case 'whole':
      return `whole and unaltered; signed by ${verification.proven.header.signer}`
    case 'unfinished':
      return `unaltered, without an end; signed by ${verification.proven.header.signer}`
    case 'broken':
      return `altered in block ${verification.fault.block}: ${verification.fault.what}. What follows comes before that`
  }
}

function rowsOf(text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise
  const rows = Number(text)
  if (!Number.isSafeInteger(rows) || rows < 1) throw new UsageError(`--rows takes a number, not ${text}`)
  return rows
}
