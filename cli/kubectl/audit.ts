/** `kubectl firebreak audit`: what the enforcer of a pod has written into its audit trail. */
import { parseArgs } from 'node:util'
import { layout } from '@firebreak/operator/injection/layout.ts'
import { clip, printable } from '../approvals/text.ts'
import { type CliCommand, UsageError } from '../command.ts'
import { style } from '../output.ts'
import { inPlace, placeHelp, placeOptions } from './place.ts'

const decisions = ['allow', 'deny', 'hold'] as const
type Decision = (typeof decisions)[number]

/** What is shown of a line. docs/audit.md has all fields. */
interface Line {
  readonly event: string
  readonly time: string
  readonly identity?: string
  readonly resource?: string
  readonly decision?: Decision
  readonly policy?: string
  readonly rule?: string
  readonly text?: string
  readonly digest?: string
  readonly reason?: string
  readonly explanation?: string
  readonly request?: string
}

const options = {
  ...placeOptions,
  output: { type: 'string', short: 'o' },
  follow: { type: 'boolean', short: 'f' },
  decision: { type: 'string', multiple: true },
  event: { type: 'string', multiple: true },
  tail: { type: 'string' },
} as const

export const audit: CliCommand = {
  name: 'audit',
  summary: "show the audit trail of a pod's enforcer",
  options: Object.keys(options),
  help: `Shows the audit trail of a pod's enforcer, as far as the node keeps its log.

Usage: kubectl firebreak audit POD [--follow] [--decision allow|deny|hold]… [--event NAME]… [--tail N] [-o json] [-n NS]

  -f, --follow            go on with what is written from now on
  --decision DECISION     commands with this decision only; may be repeated
  --event NAME            lines of this event only: command, session.start, approval.used, …; may be repeated
  --tail N                begin with the last N lines of the log
  -o json                 the lines as they were written; firebreak audit verify reads all of them
${placeHelp}

Who reads this has the verb get on pods/log. Exit code 0. 1: the log can't be read.`,
  async run(words) {
    const { values, positionals } = parseArgs({ args: [...words], allowPositionals: true, options })
    const [name, ...more] = positionals
    if (name === undefined || more.length > 0) throw new UsageError('audit takes the name of one pod')
    const { output, event: events, decision: wanted, follow = false } = values
    if (output !== undefined && output !== 'json') throw new UsageError(`--output takes json, not ${output}`)
    const unknown = wanted?.find((each) => !decisions.some((decision) => decision === each))
    if (unknown !== undefined)
      throw new UsageError(`--decision takes ${decisions.join(', ')}, not ${unknown}`)
    const tailLines = tailOf(values.tail)
    const done = new AbortController()
    process.once('SIGINT', () => done.abort())
    process.stdout.once('error', () => done.abort())
    return await inPlace(values, async ({ client, namespace }) => {
      const container = { namespace, pod: name.replace(/^pods?\//, ''), container: layout.enforcerContainer }
      try {
        for await (const text of client.log(container, { follow, tailLines }, done.signal)) {
          const line = lineOf(text)
          if (!line || (events && !events.includes(line.event))) continue
          if (wanted && !wanted.some((decision) => decision === line.decision)) continue
          console.log(output === 'json' ? text : shown(line))
        }
      } catch (error) {
        if (!done.signal.aborted) throw error
      }
      return 0
    })
  },
}

function tailOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (!/^\d+$/.test(text)) throw new UsageError(`--tail takes a number of lines, not ${text}`)
  return Number(text)
}

/** @returns undefined for what the enforcer has logged besides. */
function lineOf(text: string): Line | undefined {
  try {
    const value = JSON.parse(text) as (Line & { readonly previous?: string }) | null
    return typeof value?.event === 'string' && value.previous !== undefined ? value : undefined
  } catch {
    return undefined
  }
}

const colours = { allow: 'green', deny: 'red', hold: 'yellow' } as const

function shown(line: Line): string {
  const { event, time, decision, identity = '', resource = '', policy, rule, reason } = line
  const what = decision ? style(colours[decision], decision.padEnd(5)) : '     '
  const by = rule === undefined ? '' : `${policy}/${rule}`
  const about = line.text ?? line.explanation ?? line.request ?? line.digest ?? ''
  const cells = [time, event.padEnd(15), what, clip(printable(about.replaceAll(/\s+/g, ' ').trim()), 100)]
  const rest = [identity, resource, by, reason ?? '']
    .filter((part) => part !== '')
    .map((part) => printable(part))
  return `${cells.join('  ')}${rest.length > 0 ? `  ${style('dim', rest.join('  '))}` : ''}`.trimEnd()
}
