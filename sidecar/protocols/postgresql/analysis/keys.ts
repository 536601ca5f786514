/** Keys tell which values there are: whoever writes one hears whether it is there already, or not. */
import type { Relation } from '../catalogue/types.ts'
import type { Findings } from './findings.ts'
import { relationColumns } from './scope.ts'

/** @param columns that are written; undefined means all. */
export function tellOfKeys(
  findings: Findings,
  relation: Relation,
  columns: readonly string[] | undefined,
): void {
  for (const { column, refersTo } of relation.keys) {
    const written = columnNames(relation, column).filter((name) => columns?.includes(name) ?? true)
    if (written.length === 0) continue
    const target = refersTo && findings.catalogue.relationByOid(refersTo.relation)
    if (target && refersTo)
      use(findings, target, columnNames(target, refersTo.column), 'a foreign key tells whether it is there')
    else if (!refersTo) use(findings, relation, written, 'a unique key tells whether it is there')
  }
}

/** Of an index over expressions it is not known which columns stand in them. */
function columnNames({ columns }: Relation, number: number): string[] {
  return columns.filter((column) => number === 0 || column.number === number).map(({ name }) => name)
}

function use(findings: Findings, relation: Relation, names: readonly string[], through: string): void {
  for (const column of relationColumns(findings, relation, () => {}))
    if (names.includes(column.name)) findings.indirect(column.value, through)
}
