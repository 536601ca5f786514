/** Requests for people: a line each, or one of them whole. */
import type { ApprovalRequest } from '@firebreak/crds'
import { grantsInWords, inTime, inWords, isFinished, missingVotes } from '@firebreak/sidecar'
import { clip, printable } from './text.ts'

interface Column {
  readonly heading: string
  readonly cell: (request: ApprovalRequest, now: number) => string
}

const command: Column = { heading: 'COMMAND', cell: ({ spec }) => printable(whatIn(spec)) }
const usual: readonly Column[] = [
  { heading: 'NAME', cell: ({ metadata }) => metadata.name },
  {
    heading: 'AGENT',
    cell: ({ spec }) =>
      spec.chain.map(({ identity }) => identity.slice(identity.indexOf('/') + 1)).join(' → '),
  },
  { heading: 'RESOURCE', cell: ({ spec }) => spec.resource },
  { heading: 'ROLE', cell: ({ spec }) => spec.role },
  command,
  {
    heading: 'EFFECT',
    cell: ({ spec }) =>
      printable(spec.command?.estimatedEffect ?? (spec.elevation ? `for ${spec.elevation.duration}` : '')),
  },
  { heading: 'STATE', cell: ({ status }) => status?.state ?? 'Pending' },
  { heading: 'EXPIRES', cell: timeLeft },
]
const namespaceColumn: Column = { heading: 'NAMESPACE', cell: ({ metadata }) => metadata.namespace }
const wideColumns: readonly Column[] = [
  { heading: 'DOES', cell: ({ spec }) => spec.command?.actions.join(',') ?? '' },
  { heading: 'APPROVERS', cell: ({ spec }) => printable(inWords(spec.requirements)) },
  { heading: 'POD', cell: ({ spec }) => spec.pod ?? '' },
  { heading: 'ASKED', cell: ({ spec }) => spec.requestedAt },
]

export interface TableColumns {
  readonly namespaces?: boolean
  readonly wide?: boolean
}

/** A table with its heading. @param width of the terminal; the command gets what is left of it. */
export function table(
  requests: readonly ApprovalRequest[],
  width: number,
  now: number,
  { namespaces = false, wide = false }: TableColumns = {},
): string[] {
  const columns = [...(namespaces ? [namespaceColumn] : []), ...usual, ...(wide ? wideColumns : [])]
  const commandColumn = columns.indexOf(command)
  const rows = [
    columns.map(({ heading }) => heading),
    ...requests.map((request) => columns.map(({ cell }) => cell(request, now))),
  ]
  const widths = columns.map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)))
  const others = widths.reduce((sum, each, column) => (column === commandColumn ? sum : sum + each + 2), 0)
  widths[commandColumn] = Math.min(widths[commandColumn] ?? 0, Math.max(20, width - others - 2))
  return rows.map((row) =>
    row
      .map((cell, column) => clip(cell, widths[column] ?? 0).padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  )
}

function whatIn({ command, elevation, resumption }: ApprovalRequest['spec']): string {
  if (command) return command.text.replaceAll(/\s+/g, ' ').trim()
  if (resumption) return `resume it: ${stateInWords(resumption)} by signal ${resumption.signal}`
  return elevation ? `${elevation.breakGlass ? 'BREAK-GLASS ' : ''}${grantsInWords(elevation)}` : ''
}

/** What an identity is until it is resumed. */
export function stateInWords({ action }: NonNullable<ApprovalRequest['spec']['resumption']>): string {
  return action === 'suspend' ? 'suspended' : 'held for approval'
}

function timeLeft({ spec, status }: Pick<ApprovalRequest, 'spec' | 'status'>, now: number): string {
  const until = status?.grantedUntil ?? spec.expiresAt
  const over = status?.state !== undefined && status.state !== 'Pending' && status.state !== 'Approved'
  return over || until === undefined ? '' : inTime(Date.parse(until) - now)
}

/** All that an approver has to know. */
export function details(request: ApprovalRequest, now: number): string[] {
  const { metadata, spec, status } = request
  const { command, elevation, resumption } = spec
  const lines = [
    `${metadata.namespace}/${metadata.name}: ${status?.state ?? 'Pending'}`,
    '',
    field('asked by', spec.chain.map(({ identity }) => identity).join(' → ')),
    field('on', `${spec.resource} as ${spec.role}`),
    field('asked at', spec.requestedAt),
    ...(isFinished(request) || resumption
      ? []
      : [field(status?.grantedUntil ? 'ends in' : 'expires in', timeLeft(request, now))]),
    ...(spec.justification === undefined ? [] : [field('because', printable(spec.justification))]),
    ...(spec.session === undefined ? [] : [field('session', `${spec.session}, and no other`)]),
  ]
  if (elevation)
    lines.push(
      field('grants', printable(grantsInWords(elevation))),
      field('for', `${elevation.duration}${elevation.breakGlass ? ' (break-glass)' : ''}`),
    )
  if (resumption)
    lines.push(
      field(
        'gives back',
        `what signal ${resumption.signal} took: the identity is ${stateInWords(resumption)}`,
      ),
      field('seen', printable(resumption.explanation)),
      ...(resumption.evidence ?? []).map((reference, index) => field(index === 0 ? 'in' : '', reference)),
    )
  if (command) {
    lines.push(
      field('does', command.actions.join(', ')),
      ...command.objects.map((object) => field('', `on ${printable(object)}`)),
      ...(command.estimatedEffect === undefined ? [] : [field('effect', printable(command.estimatedEffect))]),
      ...(command.context ?? []).map((item, index) => field(index === 0 ? 'with' : '', printable(item))),
      '',
      ...printable(command.text, true)
        .split('\n')
        .map((line) => `  ${line}`),
      ...(command.parameters ?? []).map((value, index) => `    $${index + 1} = ${printable(value)}`),
      '',
      field('digest', command.digest),
    )
  }
  lines.push(...people(request))
  return lines
}

function people({ spec, status }: ApprovalRequest): string[] {
  const votes = status?.approvals ?? []
  return [
    '',
    ...spec.requirements.map((requirement) => {
      const missing = missingVotes(requirement, votes)
      const left = missing === 0 ? 'agreed' : `${missing} to go`
      return field(
        'needs',
        `${inWords([requirement])}, by ${requirement.policy}/${requirement.rule} (${left})`,
      )
    }),
    ...votes.map(({ user, decision, reason, at }) =>
      field(
        decision.toLowerCase(),
        `by ${printable(user)} at ${at}${reason === undefined ? '' : `: ${printable(reason)}`}`,
      ),
    ),
    ...(status?.conditions ?? []).map(({ message }) => field('refused', printable(message))),
  ]
}

function field(name: string, value: string): string {
  return `${name.padEnd(11)} ${value}`
}
