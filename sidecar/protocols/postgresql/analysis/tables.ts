/** Statements that make, change and remove tables, and those that treat other objects the same way. */
import type { AlterTableStmt, CreateStmt, DropStmt, GrantStmt, Node, RangeVar, RenameStmt } from 'libpg-query'
import { DraftCatalogue } from './draft.ts'
import type { Findings } from './findings.ts'
import { newPath, objectNames, objectPath, relationPath } from './object-paths.ts'
import { definitionScope, scanDefinition } from './scan-definition.ts'
import { relationColumns } from './scope.ts'
import { is } from './tree.ts'

/** After it, names may mean something else. */
export function changed(findings: Findings, temporary = false, followed = false): void {
  findings.effect({ kind: 'definition', temporary })
  // inside of code it is done only if that is run, and if what stands around it comes to that
  const surely = followed && !findings.insideCode
  if (!surely && findings.catalogue instanceof DraftCatalogue) findings.catalogue.uncertain = true
}

export function createTable(findings: Findings, body: CreateStmt): undefined {
  const { relation, tableElts = [], inhRelations = [], partbound, ofTypename } = body
  const temporary = relation?.relpersistence === 't'
  const path = relation ? newPath(findings, relation) : ['*']
  findings.touch('sql:create', 'table', path)
  scanDefinition(findings, body, definitionScope(findings, {}))
  const plain =
    inhRelations.length === 0 &&
    !partbound &&
    !ofTypename &&
    tableElts.every((node) => !is(node, 'TableLikeClause'))
  changed(findings, temporary, plain)
  if (plain && findings.catalogue instanceof DraftCatalogue) {
    const columns = tableElts.flatMap((node) => (is(node, 'ColumnDef') ? [node.ColumnDef.colname ?? ''] : []))
    findings.catalogue.createTable(path[0] ?? '', path[1] ?? '', columns, temporary)
  }
}

/** A classification names columns: whatever gives classified columns another name or place takes them from it. */
export function alterTable(findings: Findings, body: AlterTableStmt): undefined {
  for (const range of rangeVars(body)) movesColumns(findings, range, 'ALTER TABLE')
  findings.touch('sql:alter', 'table', body.relation ? relationPath(findings, body.relation) : ['*'])
  scanDefinition(findings, body.cmds, definitionScope(findings, body))
  changed(findings)
}

/** Of the parser's word for it: `OBJECT_TABLE` is a table. */
export function kindOf(type: string | undefined): string {
  return (type ?? 'OBJECT').replace('OBJECT_', '').toLowerCase()
}

export function rename(
  findings: Findings,
  { relation, object, renameType, subname, newname }: RenameStmt,
): undefined {
  if (relation) movesColumns(findings, relation, `a new name (${newname ?? ''})`)
  if (renameType === 'OBJECT_SCHEMA') findings.opaque('renaming a schema gives everything in it another name')
  const kind = kindOf(renameType)
  findings.touch(
    'sql:alter',
    kind,
    relation
      ? relationPath(findings, relation)
      : objectPath(findings, object ? objectNames(object) : [subname ?? '*'], kind),
  )
  changed(findings)
}

/** @param type as the parser calls it: `OBJECT_DATABASE`. */
export function alterRelationOrObject(
  findings: Findings,
  relation: RangeVar | undefined,
  object: Node | undefined,
  type: string | undefined,
): void {
  if (relation) movesColumns(findings, relation, 'ALTER')
  const kind = kindOf(type)
  findings.touch(
    'sql:alter',
    relation ? 'table' : kind,
    relation ? relationPath(findings, relation) : objectPath(findings, objectNames(object), kind),
  )
  changed(findings)
}

function movesColumns(findings: Findings, range: RangeVar, through: string): void {
  const [schema = '', name = ''] = relationPath(findings, range)
  const relation = findings.catalogue.relation(schema, name)
  if (!relation) return
  for (const column of relationColumns(findings, relation, () => {})) findings.indirect(column.value, through)
}

function rangeVars(value: unknown): RangeVar[] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, inner]) =>
    key === 'relation' || key === 'RangeVar' || (key === 'name' && typeof inner === 'object')
      ? [inner as RangeVar]
      : rangeVars(inner),
  )
}

export function drop(findings: Findings, { removeType, objects = [], behavior }: DropStmt): undefined {
  const kind = kindOf(removeType)
  const paths = objects.map((node) => objectPath(findings, objectNames(node), kind))
  // what hangs on them goes with them
  const alone =
    kind === 'index' || (kind === 'table' && paths.every((path) => isAlone(findings, path)))
      ? behavior !== 'DROP_CASCADE'
      : false
  for (const path of paths) {
    findings.touch('sql:drop', kind, path)
    if (findings.catalogue instanceof DraftCatalogue && kind === 'table')
      findings.catalogue.dropTable(path[0] ?? '', path[1] ?? '')
  }
  changed(findings, false, alone)
}

function isAlone({ catalogue }: Findings, [schema = '', name = '']: readonly string[]): boolean {
  // pg_temp_3 may be this session's own, which is known as pg_temp
  return !schema.startsWith('pg_temp_') && (catalogue.relation(schema, name)?.children.length ?? 0) === 0
}

export function grant(
  findings: Findings,
  { is_grant: isGrant, objects = [], objtype, targtype }: GrantStmt,
): undefined {
  const action = isGrant ? 'sql:grant' : 'sql:revoke'
  const kind = targtype === 'ACL_TARGET_ALL_IN_SCHEMA' ? 'schema' : kindOf(objtype)
  for (const node of objects)
    findings.touch(
      action,
      kind,
      is(node, 'RangeVar')
        ? relationPath(findings, node.RangeVar)
        : objectPath(findings, objectNames(node), kind),
    )
  // a schema that may not be looked into is passed over in the search path
  if (objtype === 'OBJECT_SCHEMA') changed(findings)
}
