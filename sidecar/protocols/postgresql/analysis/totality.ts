/** Whether a call of a builtin function can fail on some values of its arguments, which would tell something about them. */
import { type Requirement, totality } from '../catalogue/totality.ts'
import type { FunctionInfo, TypeInfo } from '../catalogue/types.ts'
import { rowOf } from './columns.ts'
import type { Findings } from './findings.ts'
import type { Scope } from './scope.ts'
import { is, type Node } from './tree.ts'
import type { Value } from './value.ts'
import { builtinTypes, effectiveType, isArray } from './value-types.ts'

/** A call of a function, whichever of its name it turns out to be. */
export interface Call {
  /** Arguments as written; undefined for what stands in front of `.name`. */
  readonly nodes: readonly (Node | undefined)[]
  readonly values: readonly Value[]
  /** All arguments together, and what they are sorted by. */
  readonly input: Value
  /** Where the names in the arguments are looked up; undefined when there are none. */
  readonly scope: Scope | undefined
  /** Some argument was made as long as one likes. */
  readonly enlarged: boolean
}

/**
 * The functions of a name that the server could choose, as far as the types of the arguments are known: those that take
 * exactly these, else all.
 */
export function reachable(
  findings: Findings,
  candidates: readonly FunctionInfo[],
  { values, input }: Call,
): readonly FunctionInfo[] {
  const types = values.map(({ typeOid }) => effectiveType(findings, typeOid))
  const exact = candidates.filter(
    ({ argumentTypes }) =>
      argumentTypes.length === types.length &&
      argumentTypes.every((wanted, index) => takes(findings, wanted, types[index])),
  )
  if (exact.length > 0) return exact
  return input.row
    ? candidates
    : candidates.filter(({ argumentTypes }) => !argumentTypes.includes(builtinTypes.record))
}

function takes(findings: Findings, wanted: number, type: TypeInfo | undefined): boolean {
  if (type === undefined || type.oid === builtinTypes.unknown) return false
  if (type.oid === wanted) return true
  switch (findings.catalogue.typeByOid(wanted)?.name) {
    case 'any':
    case 'anyelement':
      return true
    case 'anynonarray':
      return !isArray(type)
    case 'anyarray':
      return isArray(type)
    case 'anyenum':
      return type.kind === 'enum'
    case 'anyrange':
      return type.kind === 'range'
    case 'anymultirange':
      return type.kind === 'multirange'
    default:
      return false
  }
}

/** The type of the result, and whether it may be a row. */
export function resultType(
  findings: Findings,
  reached: readonly FunctionInfo[],
  { input }: Call,
): { typeOid: number; row: boolean } {
  const types = new Set(reached.map(({ returnType }) => returnType))
  const [typeOid = 0] = types
  const type = types.size === 1 ? findings.catalogue.typeByOid(typeOid) : undefined
  const plain = type && (type.kind === 'base' || type.kind === 'enum') && type.element === 0
  return plain ? { typeOid, row: false } : { typeOid: 0, row: input.row ?? type?.kind === 'composite' }
}

export function canFail(findings: Findings, info: FunctionInfo, call: Call): boolean {
  const types = info.argumentTypes.map((oid) => findings.catalogue.typeByOid(oid)?.name ?? '?')
  const requirements = totality(info.name, types)
  if (requirements === undefined || call.enlarged) return true
  return !requirements.every((requirement) => isMet(findings, requirement, call))
}

function isMet(findings: Findings, requirement: Requirement, call: Call): boolean {
  switch (requirement.kind) {
    case 'oneOf': {
      const text = stringAt(findings, call, requirement.argument)
      return text !== undefined && requirement.words.has(text)
    }
    case 'notZero': {
      const node = call.nodes[requirement.argument - 1]
      findings.consultedConstants = true
      return is(node, 'A_Const') && node.A_Const.ival !== undefined && (node.A_Const.ival.ival ?? 0) !== 0
    }
    case 'notLonger': {
      const [from, to] = [requirement.than, requirement.argument].map((index) =>
        stringAt(findings, call, index),
      )
      return from !== undefined && to !== undefined && Buffer.byteLength(to) <= Buffer.byteLength(from)
    }
    case 'keysAreConstant':
      return (
        call.nodes.length % 2 === 0 &&
        call.nodes.every((_, index) => index % 2 === 1 || stringAt(findings, call, index + 1) !== undefined)
      )
    case 'noJson':
      return call.input.sources.every(({ path: [schema = '', name = ''], part }) => {
        const column = findings.catalogue.relation(schema, name)?.columns.find((each) => each.name === part)
        const type = column && effectiveType(findings, column.typeOid)
        return type?.kind === 'base' && type.oid !== builtinTypes.json && type.oid !== builtinTypes.jsonArray
      })
  }
}

/** The string constant that an argument is. */
function stringAt(findings: Findings, { nodes }: Call, argument: number): string | undefined {
  const node = nodes[argument - 1]
  if (!is(node, 'A_Const') || !node.A_Const.sval) return undefined
  findings.consultedConstants = true
  return node.A_Const.sval.sval ?? ''
}

/** `count(*)`, and `count` of what is null where the row or the column is. What is computed may be null because of a value. */
export function countsRows({ name }: FunctionInfo, { nodes, values, scope }: Call): boolean {
  return (
    name === 'count' &&
    values.every((value, index) => {
      const node = nodes[index]
      return (
        value.derivation === 'copy' || (node !== undefined && scope !== undefined && !!rowOf(node, scope))
      )
    })
  )
}
