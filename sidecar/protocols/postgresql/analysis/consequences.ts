/** What happens with a write besides: triggers, what constraints call, and foreign keys that spread it. */
import type { Relation, Spread } from '../catalogue/types.ts'
import type { Findings } from './findings.ts'
import { runInstalled, runRelationCode } from './installed-code.ts'
import { relatedRelations } from './scope.ts'

export type Event = 'insert' | 'update' | 'delete'

/** What the owner has installed to happen with a write: triggers, what constraints call, and foreign keys that spread it. */
export function follow(
  findings: Findings,
  relation: Relation,
  event: Event,
  columns: readonly string[] | undefined,
  followed: Set<string>,
): void {
  for (const each of [relation, ...relatedRelations(findings, relation)]) {
    const key = `${event} ${each.oid}`
    if (followed.has(key)) continue
    followed.add(key)
    fireTriggers(findings, each, event)
    if (event !== 'delete') runRelationCode(findings, each, 'write')
    runRelationCode(findings, each, 'look')
    for (const spread of each.spreads) {
      const there = spreadEvent(each, spread, event, columns)
      const other = there && findings.catalogue.relationByOid(spread.relation)
      if (!there || !other) continue
      const names = there === 'update' ? namesOf(other, spread.columns) : undefined
      findings.touch(`sql:${there}`, 'table', [other.schema, other.name], names, 'implied')
      follow(findings, other, there, names, followed)
    }
  }
}

/** What happens with TRUNCATE; with CASCADE it empties whatever refers to the table, whatever the key says. */
export function followTruncate(findings: Findings, relation: Relation, cascade: boolean): void {
  const emptied = new Map([[relation.oid, relation]])
  for (const each of emptied.values()) {
    if (each !== relation)
      findings.touch('sql:truncate', 'table', [each.schema, each.name], undefined, 'implied')
    fireTriggers(findings, each, 'truncate')
    const referring = cascade ? each.spreads.map((spread) => spread.relation) : []
    for (const oid of [...referring, ...each.children]) {
      const other = findings.catalogue.relationByOid(oid)
      if (other) emptied.set(oid, other)
    }
  }
}

function fireTriggers(findings: Findings, { triggers }: Relation, event: Event | 'truncate'): void {
  const fired = triggers.filter(({ events }) => events.includes(event))
  runInstalled(
    findings,
    fired.map(({ functionOid }) => functionOid),
  )
}

function spreadEvent(
  relation: Relation,
  { onDelete, onUpdate, targetColumns }: Spread,
  event: Event,
  columns: readonly string[] | undefined,
): 'delete' | 'update' | undefined {
  if (event === 'delete') return onDelete
  if (event !== 'update' || !onUpdate) return undefined
  const changed = namesOf(relation, targetColumns).some((name) => columns?.includes(name) ?? true)
  return changed ? onUpdate : undefined
}

function namesOf({ columns }: Relation, numbers: readonly number[]): string[] {
  return columns.filter(({ number }) => numbers.includes(number)).map(({ name }) => name)
}
