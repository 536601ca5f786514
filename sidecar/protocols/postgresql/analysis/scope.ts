/** What names in an expression can mean. */
import type { Source } from '@firebreak/policy'
import type { Relation } from '../catalogue/types.ts'
import type { Findings } from './findings.ts'
import { asRow, constant, derived, type Value } from './value.ts'
import { holdsRows } from './value-types.ts'

export interface ScopeColumn {
  readonly name: string
  readonly value: Value
  /** Column of a base relation: reading it is a touch of that part. */
  readonly read?: () => void
}

/** One entry of FROM. */
export interface RangeItem {
  /** What it is called; undefined for an unnamed join or subquery. */
  readonly name: string | undefined
  /** Schema, when it can also be called by `schema.table`. */
  readonly schema: string | undefined
  readonly columns: readonly ScopeColumn[]
  /** Its columns are not known: any name may be one of them, with this value. */
  readonly open?: Value
  /** Columns whose bare name belongs to a merged column of a join (USING), not to this entry. */
  readonly merged?: Set<string>
  /** Only for `old`, `new` and `excluded`: not part of a bare star or name. */
  readonly qualifiedOnly?: boolean
}

export interface CommonTable {
  readonly columns: readonly ScopeColumn[]
  readonly open?: Value
}

export class Scope {
  readonly items: RangeItem[] = []
  readonly parent: Scope | undefined
  readonly commonTables = new Map<string, CommonTable>()
  /** Columns that WHERE holds to one string, by their bare name: `name = 'x'`. */
  readonly pinned = new Map<string, string>()
  /** Names of parameters and variables of the code around. */
  readonly variables = new Set<string>()
  /** For the right side of a join: the scope of the same query that it was opened in. */
  joinedTo: Scope | undefined

  constructor(parent?: Scope) {
    this.parent = parent
  }

  /** Sees the same entries as another scope, so that `*` means the same here. */
  adoptItems(items: readonly RangeItem[]): this {
    this.items.push(...items)
    return this
  }

  commonTable(name: string): CommonTable | undefined {
    return this.commonTables.get(name) ?? this.parent?.commonTable(name)
  }

  hasVariable(name: string): boolean {
    return this.variables.has(name) || (this.parent?.hasVariable(name) ?? false)
  }

  /** Entries that a qualifier names, in the innermost scope that has one. */
  named(name: string, schema?: string): readonly RangeItem[] {
    const found = this.items.filter(
      (item) => item.name === name && (schema === undefined || item.schema === schema),
    )
    return found.length > 0 ? found : (this.parent?.named(name, schema) ?? [])
  }

  /** The value of a bare column name; undefined when no entry has such a column. */
  column(name: string): Value | undefined {
    const values = this.items
      .filter((item) => !item.qualifiedOnly)
      .filter((item) => !item.merged?.has(name))
      .map((item) => columnOf(item, name))
      .filter((value) => value !== undefined)
    if (values.length > 0) return values.length === 1 ? values[0] : derived(...values)
    return this.parent?.column(name)
  }
}

/** @returns undefined when the entry has no such column. */
export function columnOf(item: RangeItem, name: string): Value | undefined {
  const column = item.columns.find((candidate) => candidate.name === name)
  if (column) {
    column.read?.()
    return column.value
  }
  if (systemColumns.has(name) && item.schema !== undefined) return constant
  return item.open
}

/** The whole entry as one value. */
export function wholeRow(item: RangeItem): Value {
  for (const column of item.columns) column.read?.()
  const values = item.columns.map((column) => ({
    ...column.value,
    derivation: column.value.derivation === 'copy' ? ('derived' as const) : column.value.derivation,
  }))
  return asRow(derived(...values, ...(item.open ? [item.open] : [])), true)
}

/** https://www.postgresql.org/docs/current/ddl-system-columns.html */
const systemColumns = new Set(['ctid', 'xmin', 'xmax', 'cmin', 'cmax', 'tableoid', 'oid'])

/** Columns of a base relation, each with where its value comes from. */
export function relationColumns(
  findings: Findings,
  relation: Relation,
  read: (column: string) => void,
): ScopeColumn[] {
  const kin = relatedRelations(findings, relation)
  return relation.columns.map(({ name, typeOid }) => {
    const sources: Source[] = [{ path: [relation.schema, relation.name], part: name }]
    for (const other of kin)
      if (other.columns.some((column) => column.name === name))
        sources.push({ path: [other.schema, other.name], part: name })
    const value: Value = { sources, derivation: 'copy', typeOid, row: holdsRows(findings, typeOid) }
    return { name, value, read: () => read(name) }
  })
}

/** Parents and children by inheritance or partition, near and far: they share columns and rows. */
export function relatedRelations({ catalogue }: Findings, relation: Relation): Relation[] {
  if (relation.parents.length === 0 && relation.children.length === 0) return []
  const found = new Map<number, Relation>([[relation.oid, relation]])
  const visit = (oids: readonly number[], next: (relation: Relation) => readonly number[]): void => {
    for (const oid of oids) {
      const other = catalogue.relationByOid(oid)
      if (!other || found.has(oid)) continue
      found.set(oid, other)
      visit(next(other), next)
    }
  }
  visit(relation.parents, (other) => other.parents)
  visit(relation.children, (other) => other.children)
  found.delete(relation.oid)
  return [...found.values()]
}
