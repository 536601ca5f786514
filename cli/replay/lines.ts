/** A step of a session as lines of a terminal. All that was recorded goes through `printable`. */
import type { CommandEntry, CutEntry, OutcomeEntry } from '@firebreak/sidecar/recording/entries.ts'
import type { RecordingReader } from '@firebreak/sidecar/recording/reader.ts'
import type { Result } from '@firebreak/sidecar/recording/transcript/results.ts'
import type { Answer, Step } from '@firebreak/sidecar/recording/transcript/transcript.ts'
import { printable } from '../approvals/text.ts'
import { style } from '../output.ts'
import { type Masked, table } from './table.ts'

export const unmaskedNote = 'what masks hid from the agent is shown, as far as it was kept'
const indent = '    '
const colours = { allow: 'green', deny: 'red', hold: 'yellow' } as const

export function headLines({ header, readsUnmasked }: RecordingReader): string[] {
  const { recording, startedAt, chain, resource, role } = header
  return [
    `Session ${printable(recording)} of ${printable(chain.join(' → '))} with ${printable(resource)} as ${printable(role)}, ${printable(startedAt)}`,
    ...(readsUnmasked ? [style('yellow', `── ${unmaskedNote} ──`)] : []),
  ]
}

/** @param width of the terminal. */
export function linesOf(step: Step, width: number): string[] {
  const at = style('dim', clockTime(step.time))
  const mark = (text: string): string => `${at} ${style('yellow', `── ${printable(text)} ──`)}`
  switch (step.kind) {
    case 'start':
      return [`${at} begins, from ${printable(step.start.remote)}, recorded: ${printable(step.start.mode)}`]
    case 'command':
      return [`${at} #${step.number + 1} ${commandLines(step.command).join('\n')}`, ...whyLines(step.command)]
    case 'answer':
      return answerLines(step, width)
    case 'mode':
      return [mark(`from here on the policy has recorded: ${step.mode.mode}`)]
    case 'limit':
      return [
        mark(
          `the recording has reached its largest size, ${step.limit.bytes} bytes: nothing more is recorded, and the session ${step.limit.session}`,
        ),
      ]
    case 'end': {
      const { commands, seconds, reason } = step.end
      const why = reason === undefined ? '' : `, by the gateway: ${reason}`
      return [`${at} ${printable(`ends after ${commands} commands and ${seconds} s${why}`)}`]
    }
    case 'broken off':
      return [`${at} ${style('red', `── ${step.state}: ${printable(step.what)} ──`)}`]
  }
}

/** `1:02:03.456` */
export function clockTime(microseconds: number): string {
  const milliseconds = Math.floor(microseconds / 1000)
  const two = (value: number): string => String(value).padStart(2, '0')
  const seconds = Math.floor(milliseconds / 1000)
  return `${Math.floor(seconds / 3600)}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}.${String(milliseconds % 1000).padStart(3, '0')}`
}

function commandLines(command: CommandEntry): string[] {
  const { decision, text, textLeftOut, parameters, actions } = command
  const leftOut = leftOutInWords(command)
  const shown =
    text === undefined
      ? style('dim', `(text not recorded) ${printable(actions.join(' '))}`)
      : printable(text, true)
  const cut = textLeftOut === undefined ? '' : style('yellow', ` ── ${textLeftOut} characters left out ──`)
  return [
    `${style(colours[decision], decision)}  ${shown.replaceAll('\n', `\n${indent}`)}${cut}`,
    ...(parameters ?? []).map(
      (value, index) => `${indent}$${index + 1} = ${value === null ? 'NULL' : printable(value)}`,
    ),
    ...(leftOut === undefined ? [] : [indent + style('yellow', `── ${leftOut} ──`)]),
  ]
}

/** What lists of a command were too long for its entry. */
export function leftOutInWords(command: CommandEntry): string | undefined {
  const { parametersLeftOut, objectsLeftOut, opaqueLeftOut, columnsLeftOut } = command
  const counts = {
    parameters: parametersLeftOut,
    objects: objectsLeftOut,
    'reasons not to understand it': opaqueLeftOut,
    columns: columnsLeftOut,
  }
  const words = Object.entries(counts).flatMap(([what, count]) => (count ? `${count} more ${what}` : []))
  return words.length === 0 ? undefined : `left out: ${words.join(', ')}`
}

/** What isn't simply allowed says why. */
function whyLines({ decision, policy, rule, reason, alerts, opaque }: CommandEntry): string[] {
  const lines: string[] = []
  if (decision !== 'allow') {
    const by = [policy && `policy ${policy}`, rule && `rule ${rule}`].filter(Boolean).join(', ')
    lines.push(
      style(
        colours[decision],
        [by, reason]
          .filter(Boolean)
          .map((part) => printable(String(part)))
          .join(': '),
      ),
    )
  }
  if (alerts?.length) lines.push(style('yellow', `alerts: ${printable(alerts.join(', '))}`))
  if (opaque?.length) lines.push(style('yellow', `not understood: ${printable(opaque.join(', '))}`))
  return lines.map((line) => indent + line)
}

/** Where an answer, or what was sent, is not in the recording. */
export function cutInWords(what: CutEntry['what'], limit: number, outcome: OutcomeEntry | undefined): string {
  if (what === 'unmasked')
    return `cut here: more of what masks hid of this answer is not in the recording (limit ${limit})`
  const bytes = what === 'response' ? outcome?.responseLeftOut : outcome?.inputLeftOut
  return `cut here: ${bytes ?? 'an unknown number of'} bytes of the ${what} are not in the recording (limit ${limit})`
}

function answerLines(answer: Answer, width: number): string[] {
  const { time, command, outcome, results, unmasked, inputBytes, cuts } = answer
  const masked: Masked = { labels: new Set(outcome?.masked), note: unmasked ? 'unmasked' : 'masked' }
  const labels = command?.entry.columns ?? []
  const lines = results.flatMap((result) => resultLines(result, labels, masked, width - indent.length))
  for (const { what, limit } of cuts) lines.push(style('yellow', `── ${cutInWords(what, limit, outcome)} ──`))
  if (inputBytes > 0) lines.push(style('dim', `${inputBytes} bytes of data from the client`))
  lines.push(`${style('dim', clockTime(time))} ${outcomeLine(outcome, command?.number, masked.note)}`)
  return lines.map((line) => indent + line)
}

function outcomeLine(
  outcome: OutcomeEntry | undefined,
  number: number | undefined,
  note: Masked['note'],
): string {
  if (!outcome) return style('yellow', '── the recording breaks off within this answer ──')
  const { rows, milliseconds, masked, approval, error } = outcome
  const of = number === undefined ? '' : `#${number + 1}: `
  const parts = [
    `${rows} ${rows === 1 ? 'row' : 'rows'}`,
    `${milliseconds} ms`,
    ...(masked?.length ? [style('magenta', `${note}: ${printable(masked.join(', '))}`)] : []),
    ...(approval === undefined ? [] : [`approval ${printable(approval)}`]),
    ...(error ? [style('red', printable(`error ${error.code}`))] : []),
  ]
  return of + parts.join(', ')
}

function resultLines(result: Result, labels: readonly string[], masked: Masked, width: number): string[] {
  const lines = table(result, labels, masked, width)
  if (result.rowsLeftOut > 0) lines.push(style('dim', `${result.rowsLeftOut} more rows are not shown`))
  if (result.copied !== '') lines.push(...printable(result.copied.trimEnd(), true).split('\n'))
  if (result.copiedLeftOut > 0) lines.push(style('dim', `${result.copiedLeftOut} more bytes are not shown`))
  for (const message of result.messages)
    if (message.kind === 'unreadable') lines.push(style('red', `not readable: ${printable(message.problem)}`))
    else {
      const { severity, code, detail, hint } = message
      const more = [detail, hint].filter((part) => part !== undefined).map((part) => `; ${part}`)
      const text = printable(`${severity} ${code}: ${message.message}${more.join('')}`)
      lines.push(message.kind === 'error' ? style('red', text) : text)
    }
  return lines
}
