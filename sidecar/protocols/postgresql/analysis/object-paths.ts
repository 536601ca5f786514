/** Names of objects in statements that define them → where these are. */
import type { RangeVar } from 'libpg-query'
import type { Findings } from './findings.ts'
import { is, listItems, type Node, strings } from './tree.ts'

export function objectNames(node: Node | undefined): string[] {
  if (is(node, 'List')) return strings(listItems(node))
  if (is(node, 'String')) return [node.String.sval ?? '']
  if (is(node, 'TypeName')) return strings(node.TypeName.names)
  if (is(node, 'ObjectWithArgs')) return strings(node.ObjectWithArgs.objname)
  return is(node, 'RoleSpec') ? [node.RoleSpec.rolename ?? '*'] : ['*']
}

/**
 * Schema and name; the schema is where it is, or where it would be made. Roles, databases, schemas and whatever else stands
 * in no schema have their name alone, and what is a part of a table stands below that.
 *
 * @param kind of the object: tables, functions and types of one name are different things.
 */
export function objectPath(findings: Findings, names: readonly string[], kind: string): readonly string[] {
  const parts = names.filter((name) => name !== '')
  if (parts.length === 0) return ['*']
  const last = parts.at(-1) ?? ''
  if (partsOfTables.has(kind) && parts.length > 1)
    return [...objectPath(findings, parts.slice(0, -1), 'table'), last]
  if (!inSchemas.has(kind)) return parts
  if (parts.length > 1) return parts.slice(-3)
  const [name = ''] = parts
  const schemas = ['pg_temp', ...(findings.searchPath ?? [])]
  const schema =
    schemas.find((candidate) => exists(findings, candidate, name, kind)) ?? findings.searchPath?.[0]
  return schema === undefined ? parts : [schema, name]
}

/** As the parser calls them, and as the words of policies do. What stands nowhere here is in no schema. */
const inSchemas = new Set([
  'object',
  'table',
  'foreign_table',
  'view',
  'matview',
  'index',
  'sequence',
  'function',
  'procedure',
  'routine',
  'aggregate',
  'type',
  'domain',
  'operator',
  'opclass',
  'operator class',
  'opfamily',
  'operator family',
  'collation',
  'conversion',
  'statistic_ext',
  'statistics',
  'tsconfiguration',
  'text search configuration',
  'tsdictionary',
  'text search dictionary',
  'tsparser',
  'tstemplate',
])

const partsOfTables = new Set(['column', 'trigger', 'rule', 'policy', 'tabconstraint'])

const routines = new Set(['function', 'procedure', 'routine', 'aggregate'])
const types = new Set(['type', 'domain'])

function exists({ catalogue }: Findings, schema: string, name: string, kind: string): boolean {
  const isRoutine = (): boolean => catalogue.functions(schema, name).length > 0
  const isType = (): boolean => catalogue.type(schema, name) !== undefined
  const isRelation = (): boolean => catalogue.relation(schema, name) !== undefined
  if (routines.has(kind)) return isRoutine()
  if (types.has(kind)) return isType()
  return kind === 'object' ? isRelation() || isRoutine() || isType() : isRelation()
}

export function relationPath(findings: Findings, { schemaname, relname = '' }: RangeVar): readonly string[] {
  return objectPath(findings, schemaname === undefined ? [relname] : [schemaname, relname], 'table')
}

export function newPath(
  findings: Findings,
  { schemaname, relname = '', relpersistence }: RangeVar,
): readonly string[] {
  return [schemaname ?? (relpersistence === 't' ? 'pg_temp' : (findings.searchPath?.[0] ?? '?')), relname]
}
