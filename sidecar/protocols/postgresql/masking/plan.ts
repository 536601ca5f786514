/** Which mask goes with which column of the result that the server really sends. */
import type { FieldMask } from '@firebreak/policy'
import type { StatementAnalysis } from '../analysis/types.ts'
import type { Catalogue } from '../catalogue/types.ts'
import type { ResultColumn } from '../codec/server-messages.ts'

/** @returns undefined when the result has another number of columns than was analysed. */
export function spreadMasks(
  masks: readonly (FieldMask | undefined)[],
  columns: number,
  shapeUnknown: boolean,
): readonly (FieldMask | undefined)[] | undefined {
  if (shapeUnknown) return Array.from({ length: columns }, () => masks[0])
  if (masks.length === 0) return Array.from({ length: columns }, () => undefined)
  return masks.length === columns ? masks : undefined
}

/**
 * Holds what the server says of a result's origin against what the analysis said: a plain column that comes from
 * elsewhere means that names were not what they seemed to be.
 *
 * @returns the contradiction in words.
 */
export function originProblem(
  columns: readonly ResultColumn[],
  { command, shapeUnknown }: StatementAnalysis,
  catalogue: Catalogue,
): string | undefined {
  if (shapeUnknown || !command.touches.length) return undefined
  for (const [index, column] of columns.entries()) {
    if (column.tableOid === 0 || column.columnNumber <= 0) continue
    const relation = catalogue.relationByOid(column.tableOid)
    const field = command.fields[index]
    if (!relation) {
      // a table made earlier in the same message is known by its name only
      if (field?.sources.some(({ path }) => !catalogue.relation(path[0] ?? '', path[1] ?? ''))) continue
      return `the column ${column.name} comes from a table that was not known`
    }
    if (relation.schema === 'pg_catalog' || relation.schema === 'information_schema') continue
    const part = relation.columns.find((candidate) => candidate.number === column.columnNumber)?.name
    if (field?.derivation === 'unproven') continue
    const listed = field?.sources.some(
      (source) =>
        source.part === part && source.path[0] === relation.schema && source.path[1] === relation.name,
    )
    if (!listed)
      return `the column ${column.name} comes from ${relation.schema}.${relation.name}, which the analysis did not expect`
  }
  return undefined
}
