/** Statements that define nothing: transactions, settings, cursors, prepared statements, locks, housekeeping. */
import type { DefElem, TransactionStmt, VariableSetStmt } from 'libpg-query'
import type { Relation } from '../catalogue/types.ts'
import { proceduralCode } from './bodies.ts'
import { followTruncate } from './consequences.ts'
import { explain } from './explain.ts'
import type { Findings } from './findings.ts'
import { callFunction } from './functions.ts'
import { findRelation } from './names.ts'
import { createdTable } from './query.ts'
import { execute, fetch } from './rerun.ts'
import { relationColumns, type ScopeColumn } from './scope.ts'
import { session } from './session-touch.ts'
import { setRole, setSetting } from './settings.ts'
import { type StatementTable, statement } from './statement.ts'
import { subStatement } from './sub-statement.ts'
import { is, type Node } from './tree.ts'
import { constant } from './value.ts'

export const utilities: StatementTable = {
  TransactionStmt: transaction,
  VariableSetStmt: variableSet,
  VariableShowStmt(findings, { name = '' }) {
    findings.touch('sql:show', 'setting', [name.toLowerCase()], undefined, 'baseline')
    // a setting of nobody's may hold what was put there by another statement; all that goes in is watched
    return name.toLowerCase() === 'all'
      ? ['name', 'setting', 'description'].map(constantColumn)
      : [constantColumn(name)]
  },
  ConstraintsSetStmt: (findings) => void session(findings, 'constraints'),
  DiscardStmt(findings, { target }) {
    session(findings, target === 'DISCARD_ALL' ? 'discard all' : 'discard')
    if (target === 'DISCARD_ALL' || target === 'DISCARD_TEMP') {
      findings.effect({ kind: 'definition', temporary: true })
      findings.effect({ kind: 'unknown' })
    }
    if (target === 'DISCARD_ALL') {
      findings.effect({ kind: 'deallocate', name: undefined })
      findings.effect({ kind: 'closeCursor', name: undefined })
    }
    return undefined
  },
  PrepareStmt(findings, { name = '', query }, _scope, text) {
    session(findings, 'prepare')
    if (!query) return undefined
    const inner = subStatement(findings, query, text)
    findings.adopt({ ...inner, effects: [] })
    findings.effect({ kind: 'prepare', name, statement: inner })
    return undefined
  },
  ExecuteStmt: (findings, body, scope) => execute(findings, body, scope),
  DeallocateStmt(findings, { name, isall }) {
    session(findings, 'deallocate')
    findings.effect({ kind: 'deallocate', name: isall ? undefined : name })
    return undefined
  },
  DeclareCursorStmt(findings, { portalname = '', query }, scope, text) {
    session(findings, 'declare cursor')
    if (!query) return undefined
    const inner = subStatement(findings, query, text, scope)
    findings.adopt(inner)
    findings.effect({ kind: 'declareCursor', name: portalname, statement: inner })
    return undefined
  },
  FetchStmt: (findings, body) => fetch(findings, body),
  ClosePortalStmt(findings, { portalname }) {
    session(findings, 'close')
    findings.effect({ kind: 'closeCursor', name: portalname })
    return undefined
  },
  ExplainStmt: explain,
  CallStmt(findings, { funccall }, scope) {
    if (!funccall) return undefined
    const { value } = callFunction(findings, funccall, scope)
    // a procedure can do everything, its end included
    findings.effect({ kind: 'unknown' })
    findings.shapeUnknown = true
    return [{ name: '*', value }]
  },
  DoStmt(findings, { args = [] }, _scope, text) {
    findings.touch('sql:execute', 'block', ['do'])
    findings.effect({ kind: 'unknown' })
    const options = args.map((node): DefElem => (is(node, 'DefElem') ? node.DefElem : {}))
    const language = options.find((option) => option.defname === 'language')?.arg
    if (language && (!is(language, 'String') || language.String.sval !== 'plpgsql'))
      findings.opaque('DO runs code in a language that is not analysed')
    else proceduralCode(findings, text, 'DO')
    return undefined
  },
  LockStmt(findings, { relations = [] }) {
    for (const node of relations) if (is(node, 'RangeVar')) touchRelation(findings, 'sql:lock', node)
    return undefined
  },
  ListenStmt: (findings, { conditionname = '' }) =>
    void findings.touch('sql:listen', 'channel', [conditionname]),
  UnlistenStmt: (findings) => void session(findings, 'unlisten'),
  NotifyStmt: (findings, { conditionname = '' }) =>
    void findings.touch('sql:notify', 'channel', [conditionname]),
  LoadStmt: (findings, { filename = '' }) => void findings.touch('sql:load', 'library', [filename]),
  CheckPointStmt: (findings) => void findings.touch('sql:maintain', 'server', ['checkpoint']),
  VacuumStmt(findings, { rels = [] }) {
    const relations = rels.map((node) =>
      is(node, 'VacuumRelation') ? node.VacuumRelation.relation : undefined,
    )
    if (relations.length === 0) findings.touch('sql:maintain', 'database', ['*'])
    for (const relation of relations)
      if (relation) touchRelation(findings, 'sql:maintain', { RangeVar: relation })
    return undefined
  },
  ClusterStmt(findings, { relation: range }) {
    maintain(findings, range && { RangeVar: range })
    const relation = range && findRelation(findings, range.schemaname, range.relname ?? '')
    if (!relation) {
      findings.opaque('CLUSTER sorts tables that are not known beforehand')
      return undefined
    }
    // rows nobody sorts come as they lie, and the index that they are laid by is not known
    for (const { value } of relationColumns(findings, relation, () => {}))
      findings.indirect(value, 'the order of rows')
    return undefined
  },
  ReindexStmt: (findings, { relation }) => void maintain(findings, relation && { RangeVar: relation }),
  RefreshMatViewStmt: (findings, { relation }) => void maintain(findings, relation && { RangeVar: relation }),
  TruncateStmt(findings, { relations = [], behavior }) {
    for (const node of relations) {
      if (!is(node, 'RangeVar')) continue
      const relation = touchRelation(findings, 'sql:truncate', node)
      if (relation) followTruncate(findings, relation, behavior === 'DROP_CASCADE')
    }
    return undefined
  },
  CreateTableAsStmt(findings, { query, into, objtype }, scope, text) {
    if (!query || !into) return undefined
    const columns = statement(findings, query, scope, text)
    if (objtype === 'OBJECT_MATVIEW')
      findings.touch('sql:create', 'view', [into.rel?.schemaname ?? '?', into.rel?.relname ?? ''])
    createdTable(findings, into, columns)
    return undefined
  },
}

function constantColumn(name: string): ScopeColumn {
  return { name, value: constant }
}

function maintain(findings: Findings, node: Node | undefined): void {
  if (is(node, 'RangeVar')) touchRelation(findings, 'sql:maintain', node)
  else findings.touch('sql:maintain', 'database', ['*'])
}

function touchRelation(
  findings: Findings,
  action: 'sql:lock' | 'sql:maintain' | 'sql:truncate',
  { RangeVar: range }: Extract<Node, { RangeVar: unknown }>,
): Relation | undefined {
  const relation = findRelation(findings, range.schemaname, range.relname ?? '')
  findings.touch(
    action,
    'table',
    relation ? [relation.schema, relation.name] : [range.schemaname ?? '?', range.relname ?? ''],
  )
  return relation
}

const transactionSteps = {
  TRANS_STMT_BEGIN: 'begin',
  TRANS_STMT_START: 'begin',
  TRANS_STMT_COMMIT: 'commit',
  TRANS_STMT_ROLLBACK: 'rollback',
  TRANS_STMT_SAVEPOINT: 'savepoint',
  TRANS_STMT_RELEASE: 'release',
  TRANS_STMT_ROLLBACK_TO: 'rollbackTo',
} as const

function transaction(findings: Findings, { kind }: TransactionStmt): undefined {
  const step =
    kind !== undefined && kind in transactionSteps
      ? transactionSteps[kind as keyof typeof transactionSteps]
      : undefined
  if (step === undefined) {
    findings.touch('sql:prepareTransaction', 'transaction', ['prepared'])
    findings.effect({ kind: 'unknown' })
    return
  }
  findings.touch(
    'sql:transaction',
    'transaction',
    [step],
    undefined,
    findings.origin === 'direct' ? 'baseline' : findings.origin,
  )
  findings.effect({ kind: 'transaction', step })
}

function variableSet(
  findings: Findings,
  { kind, name = '', args = [], is_local: isLocal }: VariableSetStmt,
): undefined {
  switch (kind) {
    case 'VAR_SET_VALUE': {
      const values = args.map((node) => settingValue(findings, node))
      findings.consultedConstants = true
      const known = values.every((value) => value !== undefined) ? values : undefined
      return setSetting(findings, name, known, isLocal ? 'transaction' : 'session', false) as undefined
    }
    case 'VAR_RESET_ALL':
      session(findings, 'reset all')
      findings.effect({ kind: 'unknown' })
      return
    case 'VAR_SET_MULTI':
      // SET TRANSACTION and SET SESSION CHARACTERISTICS
      findings.touch('sql:transaction', 'transaction', ['mode'], undefined, 'baseline')
      if (name === 'TRANSACTION SNAPSHOT') findings.touch('sql:transaction', 'transaction', ['snapshot'])
      return
    default:
      // to what it was at login, which the server knows
      if (name === 'role' || name === 'session_authorization') setRole(findings, undefined)
      else setSetting(findings, name, undefined, 'session', false)
      findings.effect({ kind: 'unknown' })
  }
}

function settingValue(findings: Findings, node: Node): string | undefined {
  if (is(node, 'TypeCast')) return node.TypeCast.arg && settingValue(findings, node.TypeCast.arg)
  if (!is(node, 'A_Const')) return undefined
  const { sval, ival, fval, boolval } = node.A_Const
  if (sval) return sval.sval ?? ''
  if (ival) return String(ival.ival ?? 0)
  return fval ? fval.fval : boolval ? String(boolval.boolval ?? false) : undefined
}
