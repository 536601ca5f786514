/** What values become by themselves: which functions and operators the server may choose for them. */
import type { FunctionInfo, TypeInfo } from '../catalogue/types.ts'
import type { Findings } from './findings.ts'
import { isBuiltin } from './names.ts'
import type { Value } from './value.ts'
import { builtinTypes, effectiveType, isArray } from './value-types.ts'

/**
 * The server chooses no function whose arguments are of types that the values don't become by themselves; extensions have
 * many of the names of builtin ones.
 *
 * @param values one for each argument, in order.
 */
export function mayTake(
  findings: Findings,
  { argumentTypes, variadic }: FunctionInfo,
  values: readonly Value[],
): boolean {
  return (
    variadic || values.every(({ typeOid }, index) => mayBecome(findings, typeOid, argumentTypes[index] ?? 0))
  )
}

/** Leaves out what the server does not choose among functions of a name. Builtin ones all count. */
export function withoutUnreachable(
  findings: Findings,
  candidates: readonly FunctionInfo[],
  values: readonly Value[],
): readonly FunctionInfo[] {
  const takesTexts = ({ argumentTypes }: FunctionInfo): boolean =>
    values.every((_, index) => argumentTypes[index] === builtinTypes.text)
  // constants in quotes are taken for texts before anything that is not builtin
  const quoted = values.length > 0 && values.every(({ typeOid }) => typeOid === builtinTypes.unknown)
  const texts = quoted && candidates.some((info) => isBuiltin(info) && takesTexts(info))
  const reachable = candidates.filter((info) => {
    if (isBuiltin(info)) return true
    return texts && !info.variadic ? takesTexts(info) : mayTake(findings, info, values)
  })
  // the server refuses such a call; should it not, all of them count
  return reachable.length > 0 ? reachable : candidates
}

/** Where it isn't known, it may. */
function mayBecome(findings: Findings, from: number, wanted: number): boolean {
  const { catalogue } = findings
  const [type, target] = [effectiveType(findings, from), catalogue.typeByOid(wanted)]
  if (!type || !target || !isPlain(type) || !isPlain(target) || type.oid === builtinTypes.unknown) return true
  const isFrom = (source: number): boolean =>
    source === from ||
    source === type.oid ||
    (type.category === 'S' && isBuiltin({ oid: source }) && catalogue.typeByOid(source)?.category === 'S')
  return (
    isFrom(wanted) ||
    catalogue
      .casts()
      .some(({ source, target: made, context }) => context === 'i' && made === wanted && isFrom(source))
  )
}

/** Of no rule of their own for what becomes of them. */
function isPlain(type: TypeInfo): boolean {
  return !isArray(type) && (type.kind === 'base' || type.kind === 'enum' || type.kind === 'range')
}
