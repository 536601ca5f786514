/** Expressions → where their value comes from, and what evaluating them does. */
import type { A_Expr, A_Indirection, BoolExpr, CaseExpr, SubLink, TypeCast, TypeName } from 'libpg-query'
import { isTotalOperator } from '../catalogue/builtins.ts'
import type { Findings } from './findings.ts'
import { callFunction, callNamed, callOperator } from './functions.ts'
import { query, window } from './query.ts'
import { columnOf, type RangeItem, type Scope, type ScopeColumn, wholeRow } from './scope.ts'
import { type Body, bodyOf, is, type Node, strings, type Tag, tagOf } from './tree.ts'
import { constant, derived, unproven, type Value } from './value.ts'

/** Deeper than any statement that a person or an ORM writes, and well within the stack. */
const maximumDepth = 800

type Handler<Name extends Tag> = (findings: Findings, body: Body<Name>, scope: Scope) => Value

/** Every kind of expression that is understood. What stands nowhere here is opaque. */
const handlers: { readonly [Name in Tag]?: Handler<Name> } = {
  A_Const: () => constant,
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
  NullTest: (findings, { arg }, scope) => derived(optional(findings, arg, scope)),
  BooleanTest: (findings, { arg }, scope) => derived(optional(findings, arg, scope)),
  FuncCall: (findings, body, scope) => callFunction(findings, body, scope).value,
  TypeCast: (findings, body, scope) => cast(findings, body, scope),
  CollateClause: (findings, { arg }, scope) => optional(findings, arg, scope),
  CaseExpr: (findings, body, scope) => caseExpression(findings, body, scope),
  CoalesceExpr: (findings, { args }, scope) => conditional(findings, args, scope),
  MinMaxExpr: (findings, { args }, scope) => conditional(findings, args, scope),
  SubLink: (findings, body, scope) => subLink(findings, body, scope),
  A_ArrayExpr: (findings, { elements }, scope) => all(findings, elements, scope),
  RowExpr: (findings, { args }, scope) => all(findings, args, scope),
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
  JsonIsPredicate: (findings, { expr }, scope) => derived(optional(findings, expr, scope)),
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
function guarded(findings: Findings, evaluate: () => Value): Value {
  const before = findings.failables
  const value = evaluate()
  if (findings.failables > before) findings.indirect(value, 'a condition on what can fail')
  return value
}

function conditional(findings: Findings, nodes: readonly Node[] | undefined, scope: Scope): Value {
  return guarded(findings, () => all(findings, nodes, scope))
}

function booleanExpression(findings: Findings, { args }: BoolExpr, scope: Scope): Value {
  return conditional(findings, args, scope)
}

function caseExpression(findings: Findings, { arg, args, defresult }: CaseExpr, scope: Scope): Value {
  return guarded(findings, () => {
    const branches = (args ?? []).flatMap((node) =>
      is(node, 'CaseWhen') ? [node.CaseWhen.expr, node.CaseWhen.result] : [],
    )
    return derived(...[arg, ...branches, defresult].map((node) => optional(findings, node, scope)))
  })
}

function operatorExpression(findings: Findings, { kind, name, lexpr, rexpr }: A_Expr, scope: Scope): Value {
  const operator = strings(name)
  const value = derived(optional(findings, lexpr, scope), optional(findings, rexpr, scope))
  const own = callOperator(findings, operator, value)
  const pattern = kind === 'AEXPR_LIKE' || kind === 'AEXPR_ILIKE' || kind === 'AEXPR_SIMILAR'
  const symbol = operator.at(-1) ?? ''
  // comparing rows or values of unlike types may still fail, but not depending on what is in them
  if (pattern ? !isConstant(rexpr) : !isTotalOperator(symbol) && symbol !== 'BETWEEN')
    findings.failable(value, `the operator ${symbol} can fail on it`)
  return derived(value, own)
}

function isConstant(node: Node | undefined): boolean {
  return is(node, 'A_Const') || is(node, 'ParamRef')
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
  if (builtin && !array && textTypes.has(target)) {
    const relabel = !limited && textTypeOids.has(value.typeOid) && (target === 'text' || target === 'varchar')
    return relabel ? value : derived(value)
  }
  findings.failable(value, `a cast to ${target} can fail on it`)
  return derived(value)
}

function isUserType(findings: Findings, typeName: TypeName | undefined): boolean {
  const name = strings(typeName?.names).at(-1) ?? ''
  return (findings.searchPath ?? []).some(
    (schema) => schema !== 'pg_catalog' && findings.catalogue.type(schema, name) !== undefined,
  )
}

function subLink(
  findings: Findings,
  { subLinkType, testexpr, operName, subselect }: SubLink,
  scope: Scope,
): Value {
  const columns = subselect ? query(findings, subselect, scope) : []
  switch (subLinkType) {
    case 'EXISTS_SUBLINK':
      return constant
    case 'EXPR_SUBLINK':
      return columns.length === 1
        ? (columns[0]?.value ?? constant)
        : derived(...columns.map((column) => column.value))
    default: {
      const value = derived(optional(findings, testexpr, scope), ...columns.map((column) => column.value))
      const operator = strings(operName)
      return operator.length > 0 ? derived(value, callOperator(findings, operator, value)) : value
    }
  }
}

/** `(x).field`, `(x).function`, `x[1]`. */
function indirection(
  findings: Findings,
  { arg, indirection: steps = [] }: A_Indirection,
  scope: Scope,
): Value {
  const [first] = steps
  const row = arg ? rowOf(arg, scope) : undefined
  if (row && is(first, 'String')) {
    const column = columnOf(row, first.String.sval ?? '')
    if (column)
      return steps.length === 1 ? column : derived(column, subscripts(findings, steps.slice(1), scope))
  }
  const value = optional(findings, arg, scope)
  return derived(value, subscripts(findings, steps, scope, value))
}

function subscripts(
  findings: Findings,
  steps: readonly Node[],
  scope: Scope,
  input: Value = constant,
): Value {
  const values = steps.map((step): Value => {
    if (is(step, 'A_Indices'))
      return derived(
        optional(findings, step.A_Indices.lidx, scope),
        optional(findings, step.A_Indices.uidx, scope),
      )
    // a field of a composite, or a function of that name called in another way
    if (is(step, 'String')) return callNamed(findings, step.String.sval ?? '', input)
    return input
  })
  return derived(...values)
}

/** The entry of FROM that a bare or qualified name stands for as a whole row. */
function rowOf(node: Node, scope: Scope): RangeItem | undefined {
  const fields = is(node, 'ColumnRef') ? strings(node.ColumnRef.fields) : []
  const [first, second] = fields
  if (first === undefined || fields.length > 2) return undefined
  if (second !== undefined) return scope.named(second, first)[0]
  return scope.column(first) === undefined ? scope.named(first)[0] : undefined
}

/**
 * A name in an expression: a column, a whole row, a variable, or a function written as a column.
 *
 * @param quiet a name that is nothing is no error.
 * @returns undefined only when quiet.
 */
export function columnReference(
  findings: Findings,
  fields: readonly string[],
  scope: Scope,
  quiet = false,
  location?: number,
): Value | undefined {
  const value = resolve(findings, fields, scope)
  if (value) {
    for (const source of value.sources) findings.reads.set(`${source.path.join('.')}.${source.part}`, source)
    return value
  }
  if (quiet) return undefined
  const [first] = fields
  if (first !== undefined && scope.hasVariable(first)) return constant
  const shown = fields.join('.')
  findings.fails('42703', `column ${fields.length > 1 ? shown : `"${shown}"`} does not exist`, location)
  return unproven
}

function resolve(findings: Findings, fields: readonly string[], scope: Scope): Value | undefined {
  const [first = '', second, third] = fields.slice(-3)
  if (fields.length === 1) {
    const column = scope.column(first)
    if (column) return column
    const [item] = scope.named(first)
    return item && wholeRow(item)
  }
  if (second !== undefined && third === undefined)
    return qualified(findings, scope.named(first), second) ?? wholeOf(scope.named(second, first))
  return third === undefined ? undefined : qualified(findings, scope.named(second ?? '', first), third)
}

function wholeOf(items: readonly RangeItem[]): Value | undefined {
  const [item] = items
  return item && wholeRow(item)
}

/** `alias.name`: a column, or else a function of that name called with the row. */
function qualified(findings: Findings, items: readonly RangeItem[], name: string): Value | undefined {
  if (items.length === 0) return undefined
  const columns = items.map((item) => columnOf(item, name)).filter((value) => value !== undefined)
  if (columns.length > 0) return columns.length === 1 ? columns[0] : derived(...columns)
  const row = derived(...items.map(wholeRow))
  return derived(row, callNamed(findings, name, row))
}

/** Columns of `*`, `t.*`, `s.t.*` and `(x).*`; undefined for any other expression. */
export function starColumns(findings: Findings, node: Node, scope: Scope): ScopeColumn[] | undefined {
  if (is(node, 'ColumnRef')) {
    const fields = strings(node.ColumnRef.fields)
    if (fields.at(-1) !== '*') return undefined
    const [first, second] = fields
    if (first === '*') return expand(findings, starItems(scope), true)
    const items =
      fields.length === 2
        ? scope.named(first ?? '')
        : scope.named(fields.at(-2) ?? second ?? '', fields.at(-3))
    if (items.length === 0) {
      if (scope.hasVariable(first ?? '')) return unknownShape(findings, constant)
      findings.fails('42P01', `missing FROM-clause entry for table "${fields.at(-2) ?? ''}"`)
      return unknownShape(findings, unproven)
    }
    return expand(findings, items.slice(0, 1), false)
  }
  if (!is(node, 'A_Indirection') || !is(node.A_Indirection.indirection?.at(-1), 'A_Star')) return undefined
  const { arg, indirection: steps = [] } = node.A_Indirection
  const row = arg && steps.length === 1 ? rowOf(arg, scope) : undefined
  if (row) return expand(findings, [row], false)
  return unknownShape(
    findings,
    expression(findings, { A_Indirection: { ...(arg && { arg }), indirection: steps.slice(0, -1) } }, scope),
  )
}

function starItems(scope: Scope): readonly RangeItem[] {
  return scope.items.filter((item) => !item.qualifiedOnly)
}

function expand(findings: Findings, items: readonly RangeItem[], hideMerged: boolean): ScopeColumn[] {
  return items.flatMap((item) => {
    if (item.open) return unknownShape(findings, item.open)
    const columns = hideMerged
      ? item.columns.filter((column) => !item.merged?.has(column.name))
      : item.columns
    for (const column of columns) {
      column.read?.()
      for (const source of column.value.sources)
        findings.reads.set(`${source.path.join('.')}.${source.part}`, source)
    }
    return columns
  })
}

function unknownShape(findings: Findings, value: Value): ScopeColumn[] {
  findings.shapeUnknown = true
  return [{ name: '*', value: derived(value) }]
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
