/** Whether a WHERE really picks rows, or only looks as if it did. */
import type { Findings } from './findings.ts'
import { is, type Node, strings, tagOf } from './tree.ts'

export interface Target {
  /** What the table is called in the statement. */
  readonly name: string
  /** Its real name, to find it in subqueries. */
  readonly table: string
  readonly columns: ReadonlySet<string>
}

/**
 * True when the condition can't hold for every row by its form alone: it compares a column of the target with
 * something else than the target itself. Anything that is not surely a restriction is none.
 */
export function isRestriction(findings: Findings, condition: Node | undefined, target: Target): boolean {
  if (condition === undefined) return false
  const tag = tagOf(condition)
  if (is(condition, 'BoolExpr')) {
    const { boolop, args = [] } = condition.BoolExpr
    if (boolop === 'AND_EXPR') return args.some((arg) => isRestriction(findings, arg, target))
    return (
      boolop === 'OR_EXPR' && args.length > 0 && args.every((arg) => isRestriction(findings, arg, target))
    )
  }
  if (is(condition, 'A_Expr')) return isComparison(findings, condition.A_Expr, target)
  if (is(condition, 'NullTest'))
    return condition.NullTest.nulltesttype === 'IS_NULL' && mentionsTarget(condition.NullTest.arg, target)
  if (is(condition, 'SubLink')) return isSubqueryRestriction(findings, condition.SubLink, target)
  return tag === 'CurrentOfExpr'
}

type Comparison = Extract<Node, { A_Expr: unknown }>['A_Expr']

function isComparison(findings: Findings, { kind, name, lexpr, rexpr }: Comparison, target: Target): boolean {
  const operator = strings(name).at(-1) ?? ''
  const between = mentionsTarget(lexpr, target) !== mentionsTarget(rexpr, target)
  switch (kind) {
    case 'AEXPR_OP':
      return ['=', '<', '>', '<=', '>='].includes(operator) && between
    case 'AEXPR_OP_ANY':
      return operator === '=' && between
    case 'AEXPR_IN':
      return operator === '=' && between
    case 'AEXPR_BETWEEN':
    case 'AEXPR_BETWEEN_SYM':
    case 'AEXPR_NOT_DISTINCT':
      return between
    case 'AEXPR_LIKE':
    case 'AEXPR_ILIKE':
      return (operator === '~~' || operator === '~~*') && between && isRealPattern(findings, rexpr)
    default:
      return false
  }
}

/** A pattern of nothing but wildcards matches everything. */
function isRealPattern(findings: Findings, pattern: Node | undefined): boolean {
  if (!is(pattern, 'A_Const')) return is(pattern, 'ParamRef')
  findings.consultedConstants = true
  return (pattern.A_Const.sval?.sval ?? '').replaceAll(/[%_]/g, '') !== ''
}

/** `column IN (SELECT …)` and EXISTS that looks at the target from outside, as long as it reads other tables. */
function isSubqueryRestriction(
  findings: Findings,
  { subLinkType, testexpr, subselect }: Extract<Node, { SubLink: unknown }>['SubLink'],
  target: Target,
): boolean {
  if (readsTarget(subselect, target)) return false
  if (subLinkType === 'ANY_SUBLINK') return mentionsTarget(testexpr, target)
  if (subLinkType !== 'EXISTS_SUBLINK' || !is(subselect, 'SelectStmt')) return false
  return isRestriction(findings, subselect.SelectStmt.whereClause, { ...target, columns: new Set() })
}

/** Whether an expression uses a column of the target. Bare names count when the target has such a column. */
function mentionsTarget(node: Node | undefined, target: Target): boolean {
  return contains(node, (tag, body) => {
    if (tag !== 'ColumnRef') return false
    const fields = strings((body as { fields?: Node[] }).fields)
    return fields.length === 1
      ? target.columns.has(fields[0] ?? '') || fields[0] === target.name
      : fields.at(-2) === target.name
  })
}

function readsTarget(node: Node | undefined, target: Target): boolean {
  return contains(
    node,
    (tag, body) => tag === 'RangeVar' && (body as { relname?: string }).relname === target.table,
  )
}

/** Whether some node below is what is looked for. */
export function contains(value: unknown, matches: (tag: string, body: unknown) => boolean): boolean {
  if (typeof value !== 'object' || value === null) return false
  return Object.entries(value).some(([tag, body]) => matches(tag, body) || contains(body, matches))
}
