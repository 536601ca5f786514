/** What list and search look for, in the words of their options. */
import { seconds } from '@firebreak/policy'
import { UsageError } from '../command.ts'
import type { Filter } from './index/query.ts'

export const filterOptions = {
  identity: { type: 'string' },
  resource: { type: 'string' },
  role: { type: 'string' },
  since: { type: 'string' },
  until: { type: 'string' },
  action: { type: 'string' },
  decision: { type: 'string' },
  object: { type: 'string' },
  limit: { type: 'string' },
  json: { type: 'boolean' },
} as const

export const filterHelp = `  --identity NAME   of the agent; like all patterns it may have * and ?, and a namespace: NAMESPACE/NAME
  --resource NAME   the protected system
  --role ROLE       the agent's role there
  --since TIME, --until TIME
                    when the session began: a time in ISO 8601, or how long ago: 90m, 7d
  --action ACTION   with a command of that action, such as sql:drop
  --decision WHICH  with a command that was decided so: allow, deny or hold
  --object NAME     with a command on that object, such as 'public.*'
  --limit N         not more than so many, the newest first (default: 50)
  --json            a JSON object a line`

const decisions = ['allow', 'deny', 'hold']

interface Values extends Omit<Filter, 'since' | 'until' | 'text'> {
  readonly since?: string | undefined
  readonly until?: string | undefined
  readonly limit?: string | undefined
}

/** @throws UsageError for what can't be meant. */
export function filterOf(values: Values, text: string | undefined): Filter {
  const { identity, resource, role, action, decision, object, since, until } = values
  if (decision !== undefined && !decisions.includes(decision))
    throw new UsageError(`--decision takes one of ${decisions.join(', ')}, not ${decision}`)
  const moments = { since: momentOf('--since', since), until: momentOf('--until', until) }
  return { identity, resource, role, action, decision, object, text, ...moments }
}

export function limitOf({ limit = '50' }: Values): number {
  const number = Number(limit)
  if (!Number.isSafeInteger(number) || number < 1)
    throw new UsageError(`--limit takes a number, not ${limit}`)
  return number
}

/** In milliseconds since 1970. */
function momentOf(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (/^([0-9]+(ms|s|m|h|d))+$/.test(text)) return Date.now() - seconds(text) * 1000
  const moment = Date.parse(text)
  if (Number.isNaN(moment))
    throw new UsageError(`${option} takes a time in ISO 8601, or how long ago (90m, 7d), not ${text}`)
  return moment
}
