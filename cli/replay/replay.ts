/** `firebreak replay`: a recorded session as it was. */
import { parseArgs } from 'node:util'
import type { From, RecordingReader } from '@firebreak/sidecar/recording/reader.ts'
import { type CliCommand, UsageError } from '../command.ts'
import { readingHelp, readingOptions, withRecording } from '../sessions/recording.ts'
import { headLines, linesOf } from './lines.ts'
import { keysHelp, play } from './player.ts'
import { stepsFrom } from './steps.ts'

/** Where no terminal says how wide it is. */
const defaultWidth = 160
const defaultRows = 50
/** Of one answer. */
const maximumCharacters = 1024 * 1024

export const replay: CliCommand = {
  name: 'replay',
  summary: 'play a recorded session: commands, decisions, answers',
  options: [...Object.keys(readingOptions), 'speed', 'at', 'command', 'rows'],
  help: `Plays a recorded session on the terminal, with its own timing. Where the output is no terminal, prints it at once.

Usage: firebreak replay ID [--speed N] [--at TIME | --command N] [--rows N]
       [--recordings PLACE | --config DIR | --state DIR] [--key FILE]… [--signer KEY]…

  --speed N         so many times as fast (default: 1)
  --at TIME         begin there: seconds, or H:MM:SS, from the session's start; or a time of day in ISO 8601
  --command N       begin with the Nth command
  --rows N          show at most so many rows of an answer (default: ${defaultRows})
${readingHelp}

Keys: ${keysHelp}.

Exit code 0. 1: there is no such recording, it was altered, or can't be read.`,
  async run(words) {
    const { values, positionals } = parseArgs({
      args: [...words],
      allowPositionals: true,
      options: {
        ...readingOptions,
        speed: { type: 'string' },
        at: { type: 'string' },
        command: { type: 'string' },
        rows: { type: 'string' },
      },
    })
    if (values.at !== undefined && values.command !== undefined)
      throw new UsageError('--at and --command exclude each other')
    const speed = positive('--speed', values.speed ?? '1')
    const extent = {
      rows: positive('--rows', values.rows ?? `${defaultRows}`),
      characters: maximumCharacters,
    }
    return await withRecording(values, positionals, 'replay', async (reader) => {
      const from = await beginning(reader, values)
      for (const line of headLines(reader)) console.log(line)
      if (process.stdin.isTTY && process.stdout.isTTY) {
        await play(reader, extent, from, speed)
        return 0
      }
      let altered = false
      for await (const step of stepsFrom(reader, extent, from)) {
        altered ||= step.kind === 'broken off' && step.state === 'altered'
        for (const line of linesOf(step, process.stdout.columns ?? defaultWidth)) console.log(line)
      }
      return altered ? 1 : 0
    })
  },
}

function positive(option: string, text: string): number {
  const number = Number(text)
  if (!(number > 0) || !Number.isFinite(number)) throw new UsageError(`${option} takes a number, not ${text}`)
  return number
}

async function beginning(
  reader: RecordingReader,
  { at, command }: { readonly at?: string | undefined; readonly command?: string | undefined },
): Promise<From | undefined> {
  if (command !== undefined) {
    const number = Math.ceil(positive('--command', command))
    const { commands } = await reader.extent()
    if (number > commands) throw new Error(`there is no command ${number}: the recording has ${commands}`)
    return { command: number - 1 }
  }
  if (at === undefined) return undefined
  const [, hours = '0', minutes = '0', seconds] = /^(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d+)?)s?$/.exec(at) ?? []
  if (seconds !== undefined)
    return { time: Math.round((Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds)) * 1_000_000) }
  const moment = Date.parse(at)
  if (Number.isNaN(moment))
    throw new UsageError(`--at takes seconds, H:MM:SS or a time in ISO 8601, not ${at}`)
  return { time: Math.max(0, moment - Date.parse(reader.header.startedAt)) * 1000 }
}
