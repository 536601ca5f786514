/** Code that definitions bring along, and that runs without being named: of types, constraints, indexes, row security and triggers. */
import type { FunctionInfo, InstalledCode, Relation } from '../catalogue/types.ts'
import { functionBody } from './bodies.ts'
import type { Findings } from './findings.ts'
import { isBuiltin } from './names.ts'
import { strings } from './tree.ts'

/** What it does was decided by the owner of the definition. */
export function runInstalled(findings: Findings, functionOids: readonly number[]): void {
  for (const oid of functionOids) {
    const info = findings.catalogue.functionByOid(oid)
    if (!info || isBuiltin(info) || isCompiled(info) || findings.installed.has(oid)) continue
    findings.installed.add(oid)
    findings.within('implied', findings.searchPath, () => {
      findings.touch('sql:call', 'function', [info.schema, info.name])
      functionBody(findings, info)
    })
  }
}

/** It came with an extension. */
function isCompiled({ language }: FunctionInfo): boolean {
  return language === 'internal' || language === 'c'
}

/** Row security runs whenever rows are looked at; checks and indexes when they are written. */
export function runRelationCode(
  findings: Findings,
  relation: Relation,
  occasion: InstalledCode['occasion'],
): void {
  runInstalled(
    findings,
    relation.code.filter((code) => code.occasion === occasion).map(({ functionOid }) => functionOid),
  )
  if (occasion === 'write') for (const { typeOid } of relation.columns) runTypeCode(findings, typeOid)
}

/** Whoever makes a value of a type runs its checks, and the conversions that lead to it. */
export function runTypeCode(findings: Findings, typeOid: number, depth = 0): void {
  const { catalogue } = findings
  const type = catalogue.typeByOid(typeOid)
  if (!type || depth > 10) return
  runInstalled(findings, type.checks)
  for (const inner of [type.base, type.element]) if (inner !== 0) runTypeCode(findings, inner, depth + 1)
  const columns = type.kind === 'composite' ? catalogue.relationByOid(type.relation)?.columns : undefined
  for (const column of columns ?? []) runTypeCode(findings, column.typeOid, depth + 1)
}

/** A statement says the names of types in many places; wherever it does, values are converted to them. */
export function runNamedTypes(findings: Findings, tree: unknown): void {
  const names = new Set<string>()
  collectTypeNames(tree, names)
  for (const name of names) {
    const path = name.split('\0')
    for (const oid of typesNamed(findings, path.at(-2), path.at(-1) ?? '')) {
      runTypeCode(findings, oid)
      runConversions(findings, ({ target }) => target === oid)
    }
  }
}

/** Conversions that run without being asked for. */
export function runImplicitConversions(findings: Findings, contexts: string): void {
  runConversions(findings, ({ context }) => contexts.includes(context))
}

function runConversions(
  findings: Findings,
  fits: (cast: ReturnType<Findings['catalogue']['casts']>[number]) => boolean,
): void {
  runInstalled(
    findings,
    findings.catalogue
      .casts()
      .filter(fits)
      .map(({ functionOid }) => functionOid),
  )
}

function typesNamed({ catalogue, searchPath }: Findings, schema: string | undefined, name: string): number[] {
  const schemas = schema === undefined ? ['pg_catalog', 'pg_temp', ...(searchPath ?? [])] : [schema]
  return schemas.flatMap((candidate) => catalogue.type(candidate, name)?.oid ?? [])
}

function collectTypeNames(value: unknown, names: Set<string>): void {
  if (typeof value !== 'object' || value === null) return
  for (const [key, inner] of Object.entries(value)) {
    if (key.toLowerCase() === 'typename' || key === 'argType' || key === 'returnType')
      names.add(strings((inner as { names?: Parameters<typeof strings>[0] }).names).join('\0'))
    collectTypeNames(inner, names)
  }
}
