/** Operators: what they compute, and whether that can fail. */
import type { A_Expr } from 'libpg-query'
import { mayTake } from './coercion.ts'
import { expression, guarded, optional } from './expressions.ts'
import type { Findings } from './findings.ts'
import { callBuiltin, callUserFunction } from './functions.ts'
import { findUserOperators, isBuiltin } from './names.ts'
import type { Scope } from './scope.ts'
import { is, listItems, type Node, strings } from './tree.ts'
import { asRow, constant, derived, isTraced, typed, unproven, type Value } from './value.ts'
import { builtinTypes, isText } from './value-types.ts'

/** Kinds that compare their operands by the operators of their types. */
const comparing: ReadonlySet<A_Expr['kind']> = new Set([
  'AEXPR_OP',
  'AEXPR_OP_ANY',
  'AEXPR_OP_ALL',
  'AEXPR_DISTINCT',
  'AEXPR_NOT_DISTINCT',
  'AEXPR_NULLIF',
  'AEXPR_IN',
  'AEXPR_BETWEEN',
  'AEXPR_NOT_BETWEEN',
  'AEXPR_BETWEEN_SYM',
  'AEXPR_NOT_BETWEEN_SYM',
])

/** Kinds that stand for several comparisons, of which the later ones may not be evaluated. */
const stepwise: ReadonlySet<A_Expr['kind']> = new Set([
  'AEXPR_IN',
  'AEXPR_BETWEEN',
  'AEXPR_NOT_BETWEEN',
  'AEXPR_BETWEEN_SYM',
  'AEXPR_NOT_BETWEEN_SYM',
])

/** Words that the parser puts where operators stand. */
const standsFor: Readonly<Record<string, readonly string[]>> = {
  BETWEEN: ['>=', '<='],
  'NOT BETWEEN': ['<', '>'],
  'BETWEEN SYMMETRIC': ['>=', '<='],
  'NOT BETWEEN SYMMETRIC': ['<', '>'],
}

const patterns: ReadonlySet<A_Expr['kind']> = new Set(['AEXPR_LIKE', 'AEXPR_ILIKE', 'AEXPR_SIMILAR'])

/** They can't fail on any value that is no row. */
const comparisons: ReadonlySet<string> = new Set(['=', '<>', '!=', '<', '>', '<=', '>=', '@>', '<@', '&&'])

export function operatorExpression(findings: Findings, expr: A_Expr, scope: Scope): Value {
  const rows = isRowConstructor(expr.lexpr) && (expr.kind !== 'AEXPR_OP' || isRowConstructor(expr.rexpr))
  return rows || stepwise.has(expr.kind)
    ? guarded(findings, () => operation(findings, expr, scope, rows))
    : operation(findings, expr, scope, rows)
}

/** @param rows the operands are written as rows, which are compared column by column, as if each stood alone. */
function operation(
  findings: Findings,
  { kind, name, lexpr, rexpr }: A_Expr,
  scope: Scope,
  rows: boolean,
): Value {
  const before = findings.enlargements
  const [left, right] = [lexpr, rexpr].map((node) =>
    rows ? rowElements(findings, node, scope) : optional(findings, node, scope),
  ) as [Value, Value]
  const enlarged = findings.enlargements > before
  const operator = strings(name)
  const symbol = operator.at(-1) ?? ''
  const operands = derived(left, right)
  const own = callOperator(findings, operator, operands, [left, right])
  const value = asRow(derived(operands, own), own.row ?? false)
  const canFail = patterns.has(kind)
    ? !isWholePattern(rexpr)
    : !comparing.has(kind) || comparisonCanFail(symbol, operands)
  if (!canFail) return resultOf(kind, value, left, right)
  const result = kind === 'AEXPR_OP' ? totalOperation(findings, symbol, value, left, right) : undefined
  // what can be made as long as one likes becomes too long together with a value of the right length
  if (result && !enlarged) return result
  findings.failable(operands, `the operator ${symbol} can fail on it`)
  return result ?? derived(value)
}

/** Comparing can't fail on values of base types; comparing rows may, at a column that is only looked at if those before are alike. */
export function comparisonCanFail(symbol: string, operands: Value): boolean {
  const compares = comparisons.has(symbol) || symbol.includes('BETWEEN')
  return !compares || (operands.row ?? false)
}

function resultOf(kind: A_Expr['kind'], value: Value, left: Value, right: Value): Value {
  // NULLIF gives back its first operand, everything else says yes or no
  if (kind === 'AEXPR_NULLIF') return asRow(typed(value, left.typeOid), (left.row ?? right.row) === true)
  return typed(value, builtinTypes.bool)
}

/** @returns undefined when the operator can fail on some value of its operands' types. */
function totalOperation(
  findings: Findings,
  symbol: string,
  value: Value,
  left: Value,
  right: Value,
): Value | undefined {
  switch (symbol) {
    case '||':
      return isText(findings, left, right) ? typed(value, builtinTypes.text) : undefined
    // json is read anew each time, and may hold what can't be made text of
    case '->':
      return left.typeOid === builtinTypes.jsonb ? typed(value, builtinTypes.jsonb) : undefined
    case '->>':
      return left.typeOid === builtinTypes.jsonb ? typed(value, builtinTypes.text) : undefined
    default:
      return undefined
  }
}

function isRowConstructor(node: Node | undefined): boolean {
  return is(node, 'RowExpr')
}

/** The values of a row that is written as one, each for itself. */
export function rowElements(findings: Findings, node: Node | undefined, scope: Scope): Value {
  if (node === undefined) return constant
  if (is(node, 'List')) return derived(...listItems(node).map((item) => rowElements(findings, item, scope)))
  if (!is(node, 'RowExpr')) return expression(findings, node, scope)
  findings.visited.add(node.RowExpr)
  return derived(...(node.RowExpr.args ?? []).map((item) => expression(findings, item, scope)))
}

/** A pattern that ends in an escape character fails, but only on values that match up to there. */
function isWholePattern(node: Node | undefined): boolean {
  const text = is(node, 'A_Const') ? node.A_Const.sval?.sval : undefined
  if (text === undefined) return false
  const trailing = text.length - text.replace(/\\+$/, '').length
  return trailing % 2 === 0
}

/**
 * @param sides its left and right operand, where they are single values.
 * @returns what the operator's own function adds to the value; its operands are the caller's.
 */
export function callOperator(
  findings: Findings,
  name: readonly string[],
  operands: Value,
  sides: readonly Value[] = [],
): Value {
  const symbols = standsFor[name.at(-1) ?? ''] ?? name.slice(-1)
  const functions = symbols
    .flatMap((symbol) => findUserOperators(findings, [...name.slice(0, -1), symbol]))
    .map((operator) => findings.catalogue.functionByOid(operator.functionOid))
    .filter((info) => info === undefined || sides.length !== 2 || mayTake(findings, info, sides))
  const values = functions.map((info): Value => {
    if (!info) {
      findings.opaque(`what the operator ${name.join('.')} runs is not known`)
      return unproven
    }
    return isBuiltin(info)
      ? callBuiltin(
          findings,
          info,
          { nodes: [], values: [operands], input: operands, scope: undefined, enlarged: false },
          true,
        )
      : callUserFunction(findings, info, operands)
  })
  return derived(...values.filter(isTraced))
}
