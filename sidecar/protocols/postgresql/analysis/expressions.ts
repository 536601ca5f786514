/** Expressions → where their value comes from, and what evaluating them does. */
import type { A_Const, BoolExpr, CaseExpr, MinMaxExpr, SubLink, TypeCast, TypeName } from 'libpg-query'
import { window } from './clauses.ts'
import { columnReference, indirection } from './columns.ts'
import type { Findings } from './findings.ts'
import { callFunction } from './functions.ts'
import { callOperator, comparisonCanFail, operatorExpression, rowElements } from './operators.ts'
import { query } from './query.ts'
import type { Scope } from './scope.ts'
import { type Body, bodyOf, is, type Node, strings, type Tag, tagOf } from './tree.ts'
import { asRow, constant, derived, typed, unproven, type Value } from './value.ts'
import { builtinTypes, commonType } from './value-types.ts'

/** Deeper than any statement that a person or an ORM writes, and well within the stack. */
const maximumDepth = 800

type Handler<Name extends Tag> = (findings: Findings, body: Body<Name>, scope: Scope) => Value

/** Every kind of expression that is understood. What stands nowhere here is opaque. */
const handlers: { readonly [Name in Tag]?: Handler<Name> } = {
  A_Const: (_, body) => plainConstant(body),
  ParamRef: () => constant,
  SetToDefault: () => constant,
  CurrentOfExpr: () => constant,
  SQLValueFunction: () => constant,
  MergeSupportFunc: () => constant,
  GroupingFunc: (findings, { args }, scope) => all(findings, args, scope) && constant,
  ColumnRef: (findings, { fields, location }, scope) =>
    columnReference(findings, strings(fields), scope, false, location) ?? unproven,
  A_Expr: (findings, body, scope) => operatorExpression(findings, body, scope),
  BoolExpr: (findings, body, scope) => booleanExpression(findings, body, scope),
  NullTest: (findings, { arg }, scope) => truth(optional(findings, arg, scope)),
  BooleanTest: (findings, { arg }, scope) => truth(optional(findings, arg, scope)),
  FuncCall: (findings, body, scope) => callFunction(findings, body, scope).value,
  TypeCast: (findings, body, scope) => cast(findings, body, scope),
  CollateClause: (findings, { arg }, scope) => optional(findings, arg, scope),
  CaseExpr: (findings, body, scope) => caseExpression(findings, body, scope),
  CoalesceExpr: (findings, { args }, scope) => alternatives(findings, args, scope),
  MinMaxExpr: (findings, body, scope) => greatestOrLeast(findings, body, scope),
  SubLink: (findings, body, scope) => subLink(findings, body, scope),
  A_ArrayExpr: (findings, { elements }, scope) => all(findings, elements, scope),
  RowExpr: (findings, { args }, scope) => asRow(all(findings, args, scope), true),
  A_Indirection: (findings, body, scope) => indirection(findings, body, scope),
  NamedArgExpr: (findings, { arg }, scope) => optional(findings, arg, scope),
  MultiAssignRef: (findings, { source }, scope) => derived(optional(findings, source, scope)),
  List: (findings, { items }, scope) => all(findings, items, scope),
  ResTarget: (findings, { val }, scope) => optional(findings, val, scope),
  XmlExpr: (findings, { args, named_args: named }, scope) =>
    fallible(findings, derived(all(findings, args, scope), all(findings, named, scope)), 'an XML expression'),
  XmlSerialize: (findings, { expr }, scope) =>
    fallible(findings, derived(optional(findings, expr, scope)), 'XMLSERIALIZE'),
  JsonObjectConstructor: (findings, { exprs }, scope) =>
    fallible(findings, all(findings, exprs, scope), 'JSON_OBJECT'),
  JsonKeyValue: (findings, { key, value }, scope) =>
    derived(optional(findings, key, scope), optional(findings, value?.raw_expr, scope)),
  JsonValueExpr: (findings, { raw_expr: raw }, scope) => derived(optional(findings, raw, scope)),
  JsonArrayConstructor: (findings, { exprs }, scope) =>
    fallible(findings, all(findings, exprs, scope), 'JSON_ARRAY'),
  JsonArrayQueryConstructor: (findings, { query: inner }, scope) =>
    inner ? derived(...query(findings, inner, scope).map((column) => column.value)) : constant,
  JsonObjectAgg: (findings, { constructor: aggregate, arg }, scope) =>
    fallible(
      findings,
      derived(
        jsonAggregate(findings, aggregate, scope),
        optional(findings, arg?.key, scope),
        optional(findings, arg?.value?.raw_expr, scope),
      ),
      'JSON_OBJECTAGG',
    ),
  JsonArrayAgg: (findings, { constructor: aggregate, arg }, scope) =>
    derived(jsonAggregate(findings, aggregate, scope), optional(findings, arg?.raw_expr, scope)),
  JsonIsPredicate: (findings, { expr }, scope) => truth(optional(findings, expr, scope)),
  JsonParseExpr: (findings, { expr }, scope) =>
    fallible(findings, derived(optional(findings, expr?.raw_expr, scope)), 'JSON()'),
  JsonScalarExpr: (findings, { expr }, scope) => derived(optional(findings, expr, scope)),
  JsonSerializeExpr: (findings, { expr }, scope) =>
    fallible(findings, derived(optional(findings, expr?.raw_expr, scope)), 'JSON_SERIALIZE'),
  JsonFuncExpr: (
    findings,
    { context_item: item, pathspec, passing, on_empty: onEmpty, on_error: onError },
    scope,
  ) => {
    const parts = [item?.raw_expr, pathspec, onEmpty?.expr, onError?.expr].map((part) =>
      optional(findings, part, scope),
    )
    return fallible(findings, derived(...parts, all(findings, passing, scope)), 'a JSON path')
  },
  JsonArgument: (findings, { val }, scope) => derived(optional(findings, val?.raw_expr, scope)),
}

export function expression(findings: Findings, node: Node, scope: Scope): Value {
  const tag = tagOf(node)
  if (tag === undefined) return constant
  const handler = handlers[tag] as Handler<Tag> | undefined
  if (!handler) {
    findings.opaque(`the expression holds ${tag}, which is not analysed`)
    return unproven
  }
  findings.visited.add(bodyOf(node, tag) as object)
  if (++findings.depth > maximumDepth) throw new RangeError('the statement is nested too deeply')
  try {
    return handler(findings, bodyOf(node, tag), scope)
  } finally {
    findings.depth--
  }
}

export function optional(findings: Findings, node: Node | undefined, scope: Scope): Value {
  return node === undefined ? constant : expression(findings, node, scope)
}

function all(findings: Findings, nodes: readonly Node[] | undefined, scope: Scope): Value {
  return derived(...(nodes ?? []).map((node) => expression(findings, node, scope)))
}

function fallible(findings: Findings, value: Value, what: string): Value {
  findings.failable(value, `${what} can fail on it`)
  return value
}

/** Branches that are evaluated only sometimes: if one can fail, whether it does tells what the condition was. */
export function guarded(findings: Findings, evaluate: () => Value): Value {
  const before = findings.failables
  const value = evaluate()
  if (findings.failables > before) findings.indirect(value, 'a condition on what can fail')
  return value
}

/** One of several expressions. */
function alternatives(findings: Findings, nodes: readonly Node[] = [], scope: Scope): Value {
  return guarded(findings, () => {
    const values = nodes.map((node) => expression(findings, node, scope))
    return typed(derived(...values), commonType(values))
  })
}

/** Says yes or no about a value. */
function truth(value: Value): Value {
  return asRow(typed(derived(value), builtinTypes.bool), false)
}

function plainConstant({ sval, ival, boolval, isnull }: A_Const): Value {
  if (ival) return typed(constant, builtinTypes.integer)
  if (boolval) return typed(constant, builtinTypes.bool)
  return typed(constant, sval || isnull ? builtinTypes.unknown : 0)
}

function booleanExpression(findings: Findings, { args }: BoolExpr, scope: Scope): Value {
  return truth(guarded(findings, () => all(findings, args, scope)))
}

function greatestOrLeast(findings: Findings, { args }: MinMaxExpr, scope: Scope): Value {
  const value = alternatives(findings, args, scope)
  if (value.row) findings.failable(value, 'comparing rows can fail on it')
  return value
}

function caseExpression(findings: Findings, { arg, args = [], defresult }: CaseExpr, scope: Scope): Value {
  return guarded(findings, () => {
    const compared = optional(findings, arg, scope)
    const branches = args.flatMap((node) => (is(node, 'CaseWhen') ? [node.CaseWhen] : []))
    const conditions = branches.map(({ expr }) => optional(findings, expr, scope))
    const results = [...branches.map(({ result }) => result), defresult].map((node) =>
      optional(findings, node, scope),
    )
    const sides = [compared, typed(derived(...conditions), commonType(conditions))]
    const equals = arg ? callOperator(findings, ['='], derived(...sides), sides) : constant
    if (compared.row) findings.failable(derived(compared, ...conditions), 'comparing rows can fail on it')
    const row = results.some((value) => value.row)
    return asRow(typed(derived(compared, ...conditions, equals, ...results), commonType(results)), row)
  })
}

const textTypes = new Set(['text', 'varchar', 'bpchar', 'name'])
const textTypeOids = new Set([25, 1043])

function cast(findings: Findings, { arg, typeName }: TypeCast, scope: Scope): Value {
  const value = optional(findings, arg, scope)
  const names = strings(typeName?.names)
  const target = names.at(-1) ?? ''
  const builtin = names.length === 1 ? !isUserType(findings, typeName) : names[0] === 'pg_catalog'
  const array = (typeName?.arrayBounds?.length ?? 0) > 0
  const limited = (typeName?.typmods?.length ?? 0) > 0
  const type = builtin && !array ? findings.catalogue.type('pg_catalog', target) : undefined
  if (type && textTypes.has(target)) {
    const relabel = !limited && textTypeOids.has(value.typeOid) && (target === 'text' || target === 'varchar')
    return relabel ? value : asRow(typed(derived(value), type.oid), false)
  }
  findings.failable(value, `a cast to ${target} can fail on it`)
  return type ? asRow(typed(derived(value), type.oid), type.name === 'record') : asRow(derived(value), true)
}

function isUserType(findings: Findings, typeName: TypeName | undefined): boolean {
  const name = strings(typeName?.names).at(-1) ?? ''
  return (findings.searchPath ?? []).some(
    (schema) => schema !== 'pg_catalog' && findings.catalogue.type(schema, name) !== undefined,
  )
}

function subLink(findings: Findings, link: SubLink, scope: Scope): Value {
  const { subLinkType, subselect } = link
  if (subLinkType !== 'EXPR_SUBLINK' && subLinkType !== 'EXISTS_SUBLINK' && subLinkType !== 'ARRAY_SUBLINK')
    return guarded(findings, () => comparedWithRows(findings, link, scope))
  const values = subselect ? query(findings, subselect, scope).map((column) => column.value) : []
  if (subLinkType === 'EXISTS_SUBLINK') return typed(constant, builtinTypes.bool)
  const [value = constant] = values
  return subLinkType === 'EXPR_SUBLINK' && values.length === 1 ? value : derived(...values)
}

/** IN, ANY, ALL: the rows behind them are only made until the answer is known. */
function comparedWithRows(
  findings: Findings,
  { testexpr, operName, subselect }: SubLink,
  scope: Scope,
): Value {
  const rows = subselect ? query(findings, subselect, scope).map((column) => column.value) : []
  const left = rowElements(findings, testexpr, scope)
  const operands = derived(left, ...rows)
  const operator = strings(operName)
  const [symbol = '='] = operator.slice(-1)
  if (comparisonCanFail(symbol, operands))
    findings.failable(operands, `the operator ${symbol} can fail on it`)
  const name = operator.length > 0 ? operator : [symbol]
  return truth(derived(operands, callOperator(findings, name, operands, [left, ...rows])))
}

/** Filter, order and window of an SQL/JSON aggregate. */
function jsonAggregate(
  findings: Findings,
  aggregate: Body<'JsonObjectAgg'>['constructor'],
  scope: Scope,
): Value {
  if (aggregate?.agg_filter) findings.indirect(expression(findings, aggregate.agg_filter, scope), 'FILTER')
  for (const node of aggregate?.agg_order ?? [])
    if (is(node, 'SortBy') && node.SortBy.node)
      findings.indirect(expression(findings, node.SortBy.node, scope), 'ORDER BY in an aggregate')
  if (aggregate?.over) window(findings, aggregate.over, scope)
  return constant
}
