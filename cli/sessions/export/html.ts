/** A recording as one page that loads nothing. It is written as it is read, so that memory stays bounded. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { CommandEntry } from '@firebreak/sidecar/recording/entries.ts'
import type { RecordingReader } from '@firebreak/sidecar/recording/reader.ts'
import type { Event, Exchange } from '@firebreak/sidecar/recording/transcript/exchanges.ts'
import type { Result } from '@firebreak/sidecar/recording/transcript/results.ts'
import type { Answer } from '@firebreak/sidecar/recording/transcript/transcript.ts'
import { printable } from '../../approvals/text.ts'
import { clockTime, cutInWords, leftOutInWords, unmaskedNote } from '../../replay/lines.ts'
import type { Masked } from '../../replay/table.ts'
import { Timeline } from './timeline.ts'

const css = readFileSync(new URL('page.css', import.meta.url), 'utf8')
const script = readFileSync(new URL('page.js', import.meta.url), 'utf8')

/** Nothing may be loaded or sent, and of styles and scripts only these very ones count. */
const policy = `default-src 'none'; style-src ${hashOf(css)}; script-src ${hashOf(script)}; base-uri 'none'; form-action 'none'`

/** @param proof what `verify` says, in words. @param microseconds how long the session was. */
export async function* page(
  { header, readsUnmasked }: RecordingReader,
  proof: string,
  microseconds: number,
  events: AsyncIterable<Event>,
): AsyncGenerator<string, undefined> {
  const { recording, startedAt, chain, resource, role } = header
  const about = {
    agent: chain.join(' → '),
    system: `${resource} as ${role}`,
    began: startedAt,
    lasted: clockTime(microseconds),
    recording: proof,
    ...(readsUnmasked && { unmasked: unmaskedNote }),
  }
  yield `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="referrer" content="no-referrer">
<meta name="viewport" content="width=device-width">
<title>Session ${shown(recording)}</title>
<style>${css}</style>
</head>
<body>
<header><h1>Session ${shown(recording)}</h1>
<dl>${Object.entries(about)
    .map(([name, value]) => `<dt>${name}</dt><dd>${shown(value)}</dd>`)
    .join('')}</dl></header>
<main>
`
  const timeline = new Timeline(microseconds)
  for await (const event of events) {
    if (event.kind === 'exchange') timeline.add(event)
    yield sectionOf(event)
  }
  yield `</main>
<nav id="timeline" aria-label="Timeline">${timeline.svg()}</nav>
<form id="filter"><input type="search" placeholder="Filter commands and answers" aria-label="Filter">${(
    ['allow', 'deny', 'hold'] as const
  )
    .map((decision) => `<label><input type="checkbox" value="${decision}" checked> ${decision}</label>`)
    .join('')}<output></output></form>
<script>${script}</script>
</body>
</html>
`
}

function hashOf(content: string): string {
  return `'sha256-${createHash('sha256').update(content).digest('base64')}'`
}

/** Text that was recorded: no markup, and no character that would be obeyed rather than shown. */
function shown(text: string, lines = false): string {
  const entities: Readonly<Record<string, string>> = {
    '&': '&amp;',
    '<': '&lt;',
    '>': '&gt;',
    '"': '&quot;',
    "'": '&#39;',
  }
  return printable(text, lines).replace(/[&<>"']/g, (character) => entities[character] ?? '')
}

function sectionOf(event: Event): string {
  switch (event.kind) {
    case 'exchange':
      return exchangeOf(event)
    case 'start':
      return paragraph(
        'quiet',
        `${clockTime(event.time)} begins, from ${event.start.remote}, recorded: ${event.start.mode}`,
      )
    case 'mode':
      return paragraph(
        'mark',
        `${clockTime(event.time)} from here on the policy has recorded: ${event.mode.mode}`,
      )
    case 'limit': {
      const { bytes, session } = event.limit
      return paragraph(
        'mark',
        `${clockTime(event.time)} the recording has reached its largest size, ${bytes} bytes: nothing more is recorded, and the session ${session}`,
      )
    }
    case 'end': {
      const { commands, seconds, reason } = event.end
      const why = reason === undefined ? '' : `, by the gateway: ${reason}`
      return paragraph(
        'quiet',
        `${clockTime(event.time)} ends after ${commands} commands and ${seconds} s${why}`,
      )
    }
    case 'broken off':
      return paragraph('altered', `${clockTime(event.time)} ${event.state}: ${event.what}`)
  }
}

function paragraph(name: string, text: string): string {
  return `<p class="${name}">${shown(text)}</p>\n`
}

function exchangeOf({ time, command, answer }: Exchange): string {
  const at = `<time>${clockTime(time)}</time>`
  const answered = answer ? answerOf(answer) : ''
  if (!command)
    return `<article class="allow">${at} the answer to a command that isn't known\n${answered}</article>\n`
  const { number, entry } = command
  return `<article class="${shown(entry.decision)}" id="c${number + 1}"><a href="#c${number + 1}">#${number + 1}</a> ${at} <b>${shown(entry.decision)}</b>
${commandOf(entry)}${answered}</article>
`
}

function commandOf(entry: CommandEntry): string {
  const { text, textLeftOut, parameters, actions, objects, decision, policy, rule, reason, alerts, opaque } =
    entry
  const leftOut = leftOutInWords(entry)
  const what =
    text === undefined
      ? `<p class="quiet">The text is not recorded: ${shown(actions.join(' '))}</p>\n`
      : `<pre class="text">${shown(text, true)}</pre>\n`
  const cut =
    textLeftOut === undefined ? '' : paragraph('mark', `cut here: ${textLeftOut} characters left out`)
  const values = (parameters ?? []).map((value, index) => `$${index + 1} = ${value ?? 'NULL'}`)
  const by = [policy && `policy ${policy}`, rule && `rule ${rule}`].filter(Boolean).join(', ')
  const why = decision === 'allow' ? '' : paragraph('why error', [by, reason].filter(Boolean).join(': '))
  return [
    what,
    cut,
    ...values.map((value) => `<pre>${shown(value)}</pre>\n`),
    objects.length > 0 ? paragraph('quiet', `${actions.join(' ')} on ${objects.join(', ')}`) : '',
    why,
    alerts?.length ? paragraph('mark', `alerts: ${alerts.join(', ')}`) : '',
    opaque?.length ? paragraph('mark', `not understood: ${opaque.join(', ')}`) : '',
    leftOut === undefined ? '' : paragraph('mark', leftOut),
  ].join('')
}

function answerOf({ command, outcome, results, unmasked, cuts, inputBytes }: Answer): string {
  const masked: Masked = { labels: new Set(outcome?.masked), note: unmasked ? 'unmasked' : 'masked' }
  const labels = command?.entry.columns ?? []
  const parts = results.map((result) => resultOf(result, labels, masked))
  for (const { what, limit } of cuts) {
    parts.push(paragraph('mark', cutInWords(what, limit, outcome)))
  }
  if (inputBytes > 0) parts.push(paragraph('quiet', `${inputBytes} bytes of data from the client`))
  if (!outcome) return parts.join('') + paragraph('mark', 'the recording breaks off within this answer')
  const { rows, milliseconds, approval, error } = outcome
  const facts = [
    `${rows} ${rows === 1 ? 'row' : 'rows'}`,
    `${milliseconds} ms`,
    ...(approval === undefined ? [] : [`approval ${approval}`]),
    ...(error ? [`error ${error.code}`] : []),
  ]
  const { labels: hiding, note } = masked
  const hidden =
    hiding.size === 0 ? '' : ` <span class="${note}">${note}: ${shown([...hiding].join(', '))}</span>`
  return `${parts.join('')}<p class="quiet">${shown(facts.join(', '))}${hidden}</p>\n`
}

function resultOf(
  { columns, rows, rowsLeftOut, copied, copiedLeftOut, messages }: Result,
  labels: readonly string[],
  masked: Masked,
): string {
  const names = columns ?? labels
  const classOf = (index: number, value: string | null): string =>
    masked.labels.has(names[index] ?? '') ? ` class="${masked.note}"` : value === null ? ' class="null"' : ''
  const heads = names.map((name, index) => {
    const note = masked.labels.has(name) ? ` (${masked.note})` : ''
    return `<th${classOf(index, name)}>${shown(name)}${note}</th>`
  })
  const lines = rows.map(
    (row) =>
      `<tr>${row.map((value, index) => `<td${classOf(index, value)}>${shown(value ?? 'NULL', true)}</td>`).join('')}</tr>`,
  )
  const isTable = rows.length > 0 || columns !== undefined
  return [
    isTable
      ? `<div class="rows"><table><thead><tr>${heads.join('')}</tr></thead><tbody>${lines.join('\n')}</tbody></table></div>\n`
      : '',
    rowsLeftOut > 0 ? paragraph('mark', `${rowsLeftOut} more rows are not shown`) : '',
    copied === '' ? '' : `<pre>${shown(copied, true)}</pre>\n`,
    copiedLeftOut > 0 ? paragraph('mark', `${copiedLeftOut} more bytes are not shown`) : '',
    ...messages.map((message) => {
      if (message.kind === 'unreadable') return paragraph('altered', `not readable: ${message.problem}`)
      const { kind, severity, code, detail, hint } = message
      const more = [detail, hint].filter((part) => part !== undefined).map((part) => `; ${part}`)
      return paragraph(kind, `${severity} ${code}: ${message.message}${more.join('')}`)
    }),
  ].join('')
}
