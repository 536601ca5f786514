/** The catalogue in memory: indexed once, never changed. */
import { createHash } from 'node:crypto'
import { type CatalogueRows, parseCatalogueRows } from './query.ts'
import type {
  Cast,
  Column,
  FunctionInfo,
  OperatorInfo,
  ReadCatalogue,
  Relation,
  RelationKind,
  TypeInfo,
} from './types.ts'

/**
 * @param system and user: answers to `catalogueQuery` of that scope.
 * @param searchPath in force in the session that answered `user`, about itself; undefined when everybody is to share it.
 */
export function buildCatalogue(system: string, user: string, searchPath?: readonly string[]): ReadCatalogue {
  const parts = [parseSystem(system), index(parseCatalogueRows(user))]
  const path = searchPath?.join() ?? ''
  const version = createHash('sha256').update(user).update(path).digest('base64url').slice(0, 16)
  return new IndexedCatalogue(version, searchPath, parts)
}

interface Part {
  readonly serverVersion: number
  readonly reader: string
  readonly schemas: ReadonlySet<string>
  readonly relations: ReadonlyMap<string, Relation>
  readonly relationsByOid: ReadonlyMap<number, Relation>
  readonly functions: ReadonlyMap<string, readonly FunctionInfo[]>
  readonly functionsByOid: ReadonlyMap<number, FunctionInfo>
  readonly types: ReadonlyMap<string, TypeInfo>
  readonly typesByOid: ReadonlyMap<number, TypeInfo>
  readonly operators: ReadonlyMap<string, readonly OperatorInfo[]>
  readonly casts: readonly Cast[]
}

/** The system part is large and the same for all databases of a server version: parsed once. */
const systemParts = new Map<string, Part>()

function parseSystem(text: string): Part {
  let part = systemParts.get(text)
  if (!part) {
    if (systemParts.size >= 16) systemParts.clear()
    part = index(parseCatalogueRows(text))
    systemParts.set(text, part)
  }
  return part
}

class IndexedCatalogue implements ReadCatalogue {
  readonly version: string
  readonly serverVersion: number
  readonly reader: string
  readonly definitionSearchPath: readonly string[]
  readonly ofSession: boolean
  readonly #parts: readonly Part[]
  readonly #casts: readonly Cast[]

  constructor(version: string, searchPath: readonly string[] | undefined, parts: readonly Part[]) {
    this.version = version
    this.definitionSearchPath = searchPath ?? []
    this.ofSession = searchPath !== undefined
    this.serverVersion = parts[0]?.serverVersion ?? 0
    this.reader = parts.at(-1)?.reader ?? ''
    this.#parts = parts
    this.#casts = parts.flatMap((part) => part.casts)
  }

  hasSchema(name: string): boolean {
    return this.#parts.some((part) => part.schemas.has(name))
  }

  *names(): Iterable<readonly string[]> {
    for (const { relations } of this.#parts)
      for (const { schema, name, columns } of relations.values())
        for (const column of columns) yield [schema, name, column.name]
  }

  relation(schema: string, name: string): Relation | undefined {
    return this.#first((part) => part.relations.get(key(schema, name)))
  }

  relationByOid(oid: number): Relation | undefined {
    return this.#first((part) => part.relationsByOid.get(oid))
  }

  functions(schema: string, name: string): readonly FunctionInfo[] {
    return this.#all((part) => part.functions.get(key(schema, name)))
  }

  functionByOid(oid: number): FunctionInfo | undefined {
    return this.#first((part) => part.functionsByOid.get(oid))
  }

  operators(name: string): readonly OperatorInfo[] {
    return this.#all((part) => part.operators.get(name))
  }

  type(schema: string, name: string): TypeInfo | undefined {
    return this.#first((part) => part.types.get(key(schema, name)))
  }

  typeByOid(oid: number): TypeInfo | undefined {
    return this.#first((part) => part.typesByOid.get(oid))
  }

  casts(): readonly Cast[] {
    return this.#casts
  }

  /** What is added to PostgreSQL's own schemas stands beside what it brings along. */
  #all<Found>(find: (part: Part) => readonly Found[] | undefined): readonly Found[] {
    const found = this.#parts.flatMap((part) => [find(part) ?? []]).filter((list) => list.length > 0)
    return found.length > 1 ? found.flat() : (found[0] ?? [])
  }

  #first<Found>(find: (part: Part) => Found | undefined): Found | undefined {
    for (const part of this.#parts) {
      const found = find(part)
      if (found !== undefined) return found
    }
    return undefined
  }
}

function key(schema: string, name: string): string {
  return `${schema}\0${name}`
}

function index(rows: CatalogueRows): Part {
  const relations = rows.relations.map(relationBuilder(rows))
  const functions = rows.functions.map(functionInfo)
  const code = Map.groupBy(rows.code, ([owner]) => owner)
  const types = rows.types.map(
    ([oid, schema, name, kind, category, element, base, relation]): TypeInfo => ({
      oid,
      schema,
      name,
      kind: typeKinds[kind] ?? 'base',
      category,
      element,
      base,
      relation,
      checks: (code.get(oid) ?? []).flatMap(([, occasion, functionOid]) =>
        occasion === 'type' ? [functionOid] : [],
      ),
    }),
  )
  const operators = rows.operators.map(
    ([schema, name, functionOid]): OperatorInfo => ({ schema, name, functionOid }),
  )
  return {
    serverVersion: rows.serverVersion,
    reader: rows.reader,
    schemas: new Set(rows.schemas),
    relations: new Map(relations.map((relation) => [key(relation.schema, relation.name), relation])),
    relationsByOid: new Map(relations.map((relation) => [relation.oid, relation])),
    functions: Map.groupBy(functions, (info) => key(info.schema, info.name)),
    functionsByOid: new Map(functions.map((info) => [info.oid, info])),
    types: new Map(types.map((info) => [key(info.schema, info.name), info])),
    typesByOid: new Map(types.map((info) => [info.oid, info])),
    operators: Map.groupBy(operators, (operator) => operator.name),
    casts: rows.casts.map(([functionOid, source, target, context]) => ({
      functionOid,
      source,
      target,
      context,
    })),
  }
}

const relationKinds: Readonly<Record<string, RelationKind>> = {
  r: 'table',
  p: 'partitioned',
  v: 'view',
  m: 'materialized',
  f: 'foreign',
  S: 'sequence',
  c: 'composite',
}
const typeKinds: Readonly<Record<string, TypeInfo['kind']>> = {
  b: 'base',
  c: 'composite',
  d: 'domain',
  e: 'enum',
  p: 'pseudo',
  r: 'range',
  m: 'multirange',
}
const functionKinds: Readonly<Record<string, FunctionInfo['kind']>> = {
  f: 'function',
  p: 'procedure',
  a: 'aggregate',
  w: 'window',
}
const volatilities: Readonly<Record<string, FunctionInfo['volatility']>> = {
  i: 'immutable',
  s: 'stable',
  v: 'volatile',
}

function relationBuilder(rows: CatalogueRows): (row: CatalogueRows['relations'][number]) => Relation {
  const columns = Map.groupBy(rows.columns, ([relation]) => relation)
  const parents = Map.groupBy(rows.inherits, ([child]) => child)
  const children = Map.groupBy(rows.inherits, ([, parent]) => parent)
  const keys = Map.groupBy(rows.keys, ([relation]) => relation)
  const spreads = Map.groupBy(rows.spreads, ([target]) => target)
  const dependencies = Map.groupBy(rows.dependencies, ([view]) => view)
  const triggers = Map.groupBy(rows.triggers, ([relation]) => relation)
  const code = Map.groupBy(rows.code, ([owner]) => owner)
  const rules = Map.groupBy(rows.rules, ([relation]) => relation)
  return ([oid, schema, name, kind, persistence, definition]) => ({
    oid,
    schema,
    name,
    kind: relationKinds[kind] ?? 'table',
    temporary: persistence === 't',
    columns: (columns.get(oid) ?? [])
      .map(
        ([, column, number, typeOid, expression]): Column => ({
          name: column,
          number,
          typeOid,
          ...(expression !== null && { expression }),
        }),
      )
      .sort((a, b) => a.number - b.number),
    ...(definition !== null && { definition }),
    keys: (keys.get(oid) ?? []).map(([, column, target, targetColumn]) => ({
      column,
      ...(target !== 0 && { refersTo: { relation: target, column: targetColumn } }),
    })),
    spreads: (spreads.get(oid) ?? []).map(([, relation, onDelete, onUpdate, targetColumns, columns]) => ({
      relation,
      columns,
      targetColumns,
      ...(onDelete === 'c' && { onDelete: 'delete' as const }),
      ...((onDelete === 'n' || onDelete === 'd') && { onDelete: 'update' as const }),
      ...(onUpdate !== 'a' && onUpdate !== 'r' && { onUpdate: 'update' as const }),
    })),
    dependsOn: [...new Set((dependencies.get(oid) ?? []).map(([, relation]) => relation))],
    parents: (parents.get(oid) ?? []).map(([, parent]) => parent),
    children: (children.get(oid) ?? []).map(([child]) => child),
    triggers: (triggers.get(oid) ?? []).map(([, functionOid, type]) => ({
      functionOid,
      events: triggerEvents(type),
    })),
    code: (code.get(oid) ?? []).flatMap(([, occasion, functionOid]) =>
      occasion === 'type' ? [] : [{ occasion, functionOid }],
    ),
    rules: (rules.get(oid) ?? []).map(([, rule]) => rule),
  })
}

/** Bits of `pg_trigger.tgtype` (`src/include/catalog/pg_trigger.h`). */
function triggerEvents(type: number): Relation['triggers'][number]['events'] {
  const events = [
    ['insert', 4],
    ['delete', 8],
    ['update', 16],
    ['truncate', 32],
  ] as const
  return events.filter(([, bit]) => (type & bit) !== 0).map(([event]) => event)
}

function functionInfo(row: CatalogueRows['functions'][number]): FunctionInfo {
  const [
    oid,
    schema,
    name,
    kind,
    language,
    volatility,
    securityDefiner,
    types,
    names,
    defaults,
    variadic,
    returnsSet,
    returnType,
    source,
    settings,
    modes,
  ] = row
  const argumentTypes = types === '' ? [] : types.split(' ').map(Number)
  return {
    oid,
    schema,
    name,
    kind: functionKinds[kind] ?? 'function',
    language,
    volatility: volatilities[volatility] ?? 'volatile',
    securityDefiner,
    argumentTypes,
    argumentNames: names ?? [],
    outputNames: (names ?? []).filter((_, index) => 'obt'.includes(modes?.[index] ?? 'i')),
    minimumArguments: argumentTypes.length - defaults,
    variadic,
    returnsSet,
    returnType,
    ...(source !== null && { source }),
    settings: settings ?? [],
  }
}
