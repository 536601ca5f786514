/** Which relation, function or operator a name means. */
import type { FunctionInfo, OperatorInfo, Relation } from '../catalogue/types.ts'
import type { Findings } from './findings.ts'

/** Schemas in the order in which relations are looked up. */
function relationPath(searchPath: readonly string[]): string[] {
  const implicit = ['pg_temp', 'pg_catalog'].filter((schema) => !searchPath.includes(schema))
  return [...implicit, ...searchPath]
}

/** Schemas in which functions and operators are looked up; never the temporary one unless it is named. */
function functionPath(searchPath: readonly string[]): string[] {
  return (searchPath.includes('pg_catalog') ? [...searchPath] : ['pg_catalog', ...searchPath]).filter(
    (schema) => schema !== 'pg_temp',
  )
}

/** @returns undefined, after noting why, when the relation is not known. */
export function findRelation(
  findings: Findings,
  schema: string | undefined,
  name: string,
  location?: number,
): Relation | undefined {
  const { catalogue, searchPath } = findings
  const shown = schema === undefined ? name : `${schema}.${name}`
  if (findings.definitionsPending) {
    findings.opaque(`what ${shown} is may have changed within the same message or transaction`)
    return undefined
  }
  if (schema === undefined && searchPath === undefined) {
    findings.opaque(`the search path is not known, so ${shown} could be any ${name}`)
    return undefined
  }
  const schemas = schema === undefined ? relationPath(searchPath ?? []) : [schema]
  for (const candidate of schemas) {
    const relation = catalogue.relation(candidate, name)
    if (!relation) continue
    if (schema === undefined && findings.bodies.size > 0 && isAmbiguous(findings, schemas, name)) {
      findings.opaque(`the code may have been planned when ${name} was another relation of that name`)
      return undefined
    }
    findings.reach(relation.oid)
    return relation
  }
  findings.fails('42P01', `relation "${shown}" does not exist`, location)
  return undefined
}

/** The server keeps the plans of code, and does not look whether a name would mean something else by now. */
function isAmbiguous({ catalogue }: Findings, schemas: readonly string[], name: string): boolean {
  return schemas.filter((schema) => catalogue.relation(schema, name) !== undefined).length > 1
}

/** All functions that a call could reach; undefined when that can't be known. */
export function findFunctions(
  findings: Findings,
  schema: string | undefined,
  name: string,
  argumentCount: number,
): FunctionInfo[] | undefined {
  const { catalogue, searchPath } = findings
  if (findings.definitionsPending) return undefined
  if (schema === undefined && searchPath === undefined) return undefined
  const schemas = schema === undefined ? functionPath(searchPath ?? []) : [schema]
  return schemas
    .flatMap((candidate) => catalogue.functions(candidate, name))
    .filter(
      (info) =>
        info.variadic ||
        (argumentCount <= info.argumentTypes.length && argumentCount >= info.minimumArguments) ||
        info.kind === 'aggregate',
    )
}

/** Operators that are not built in and that a use of the name could reach. */
export function findUserOperators(findings: Findings, name: readonly string[]): OperatorInfo[] {
  const operator = name.at(-1) ?? ''
  const schema = name.length > 1 ? name.at(-2) : undefined
  const { catalogue, searchPath } = findings
  const found = catalogue
    .operators(operator)
    .filter((info) =>
      schema === undefined
        ? searchPath === undefined || functionPath(searchPath).includes(info.schema)
        : info.schema === schema,
    )
  if (schema !== undefined && schema !== 'pg_catalog' && found.length === 0)
    findings.fails('42883', `operator does not exist: ${schema}.${operator}`)
  return found
}

/** What PostgreSQL brings along has lower OIDs than what is made later, also in its own schemas. */
export function isBuiltin({ oid }: { readonly oid: number }): boolean {
  return oid < 16_384
}

/** A dotted name as schema and name. */
export function splitName(parts: readonly string[]): { schema: string | undefined; name: string } {
  return { schema: parts.length > 1 ? parts.at(-2) : undefined, name: parts.at(-1) ?? '' }
}
