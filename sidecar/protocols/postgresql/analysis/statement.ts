/** One statement of any kind → its touches, effects and output columns. */
import { copyStatement } from './copy.ts'
import { definitions } from './definitions.ts'
import type { Findings } from './findings.ts'
import { runNamedTypes } from './installed-code.ts'
import { query } from './query.ts'
import type { Scope, ScopeColumn } from './scope.ts'
import { bodyOf, type Node, type Tag, tagOf } from './tree.ts'
import { utilities } from './utilities.ts'

/** @param text the statement's own text. @returns the columns of the rows that it sends, empty when it sends none. */
export function statement(
  findings: Findings,
  node: Node,
  scope: Scope,
  text: string,
): readonly ScopeColumn[] {
  const tag = tagOf(node)
  if (findings.kind === '' && tag !== undefined) findings.kind = tag.replace(/Stmt$/, '').toLowerCase()
  runNamedTypes(findings, node)
  switch (tag) {
    case 'SelectStmt':
    case 'InsertStmt':
    case 'UpdateStmt':
    case 'DeleteStmt':
    case 'MergeStmt':
      return query(findings, node, scope)
    case 'CopyStmt':
      return copyStatement(findings, bodyOf(node, tag), scope)
    default: {
      const handler = tag && (utilities[tag] ?? definitions[tag])
      if (handler) return (handler as StatementHandler<Tag>)(findings, bodyOf(node, tag), scope, text) ?? []
      findings.opaque(`${tag ?? 'the statement'} is not analysed`)
      return []
    }
  }
}

export type StatementHandler<Name extends Tag> = (
  findings: Findings,
  body: ReturnType<typeof bodyOf<Name>>,
  scope: Scope,
  text: string,
) => readonly ScopeColumn[] | undefined

export type StatementTable = { readonly [Name in Tag]?: StatementHandler<Name> }
