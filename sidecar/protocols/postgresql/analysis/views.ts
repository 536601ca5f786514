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
    const { values, reached } = findings.within('implied', findings.catalogue.definitionSearchPath, () =>
      findings.reaching(() => query(findings, statement, new Scope()).map((column) => column.value)),
    )
    return isAbout(findings, view, reached) ? values : undefined
  } finally {
    findings.views.delete(view.oid)
  }
}

/**
 * A text names relations as they were visible when the server wrote it. That each of its names still means the same shows in
 * that it leads to the very relations that the server has noted: a name that meant another would lead to one that is not
 * among them, or leave one out.
 */
function isAbout({ catalogue }: Findings, view: Relation, reached: ReadonlySet<number>): boolean {
  const own = (oid: number): boolean => oid < 0 || oid >= firstOwnOid
  // sequences and row types can be named without being read
  const noted = view.dependsOn.filter((oid) => {
    const kind = catalogue.relationByOid(oid)?.kind
    return own(oid) && (reached.has(oid) || (kind !== 'sequence' && kind !== 'composite' && kind !== 'index'))
  })
  const found = [...reached].filter(own)
  return noted.length === found.length && noted.every((oid) => reached.has(oid))
}

/** What PostgreSQL brings along has lower ones, and is not noted. */
const firstOwnOid = 16_384
