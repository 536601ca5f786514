/** What the columns of a view come from. */
import type { Relation } from '../catalogue/types.ts'
import type { Findings } from './findings.ts'
import { parseText } from './parse.ts'
import { query } from './query.ts'
import { Scope, type ScopeColumn } from './scope.ts'
import { unproven, type Value } from './value.ts'
import { holdsRows } from './value-types.ts'

/**
 * A view's columns stand for themselves and for what they are made of, so that a classification can name either. What
 * the view reads is implied: its owner decided that.
 */
export function viewColumns(
  findings: Findings,
  view: Relation,
  read: (column: string) => void,
): ScopeColumn[] {
  const origins = definitionValues(findings, view)
  return view.columns.map(({ name, typeOid }, index) => {
    const own = { path: [view.schema, view.name], part: name }
    const origin = origins?.[index] ?? unproven
    const copied = origin.derivation === 'copy' || origin.sources.length === 0
    const value: Value = {
      sources: [own, ...origin.sources],
      derivation: origin.derivation === 'unproven' ? 'unproven' : copied ? 'copy' : 'derived',
      typeOid,
      row: holdsRows(findings, typeOid),
    }
    return { name, value, read: () => read(name) }
  })
}

function definitionValues(findings: Findings, view: Relation): readonly Value[] | undefined {
  if (findings.views.has(view.oid)) return undefined
  findings.views.add(view.oid)
  try {
    const parsed = parseText(view.definition ?? '')
    const statement = parsed.ok ? parsed.statements[0]?.stmt : undefined
    if (!statement) return undefined
    return findings.within('implied', findings.catalogue.definitionSearchPath, () =>
      query(findings, statement, new Scope()).map((column) => column.value),
    )
  } finally {
    findings.views.delete(view.oid)
  }
}
