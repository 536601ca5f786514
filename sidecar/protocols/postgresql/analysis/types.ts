/** What the analysis of SQL needs to know, and what it says. */
import type { Command } from '@firebreak/policy'
import type { Catalogue } from '../catalogue/types.ts'

/** The state of a session that changes what text means. */
export interface SessionContext {
  readonly catalogue: Catalogue
  /**
   * The schemas that are searched, in order, as the server would (implicit `pg_catalog` and `pg_temp` not
   * included unless named); undefined when it is not known, which makes unqualified names opaque.
   */
  readonly searchPath: readonly string[] | undefined
  /** `current_user`; what `"$user"` stands for. */
  readonly currentUser: string
  /** False (or unknown = false) makes every statement with a plain string constant that holds a backslash opaque. */
  readonly standardConformingStrings: boolean
  /** As reported by the server, e.g. `UTF8`. Anything that can hide a quote in a multi-byte character is opaque. */
  readonly clientEncoding: string
  /** Statements made by PREPARE or Parse, by name: they share one name space. */
  statement(name: string): StatementAnalysis | undefined
  /** Open cursors and named portals. */
  cursor(name: string): StatementAnalysis | undefined
}

/** What a statement changes in the session if it succeeds. */
export type SessionEffect =
  | { readonly kind: 'setting'; readonly name: string; readonly value: string | undefined; readonly scope: 'session' | 'transaction' }
  | { readonly kind: 'resetSetting'; readonly name: string }
  | { readonly kind: 'role'; readonly role: string | undefined }
  | { readonly kind: 'prepare'; readonly name: string; readonly statement: StatementAnalysis }
  | { readonly kind: 'deallocate'; readonly name: string | undefined }
  | { readonly kind: 'declareCursor'; readonly name: string; readonly statement: StatementAnalysis }
  | { readonly kind: 'closeCursor'; readonly name: string | undefined }
  | { readonly kind: 'transaction'; readonly step: 'begin' | 'commit' | 'rollback' | 'savepoint' | 'rollbackTo' | 'release' | 'prepare' }
  | { readonly kind: 'discard'; readonly what: 'all' | 'plans' | 'sequences' | 'temp' }
  /** The catalogue is not what it was; `temporary` when only this session sees the change. */
  | { readonly kind: 'definition'; readonly temporary: boolean }
  /** Anything may have changed: ask the server before the next analysis. */
  | { readonly kind: 'unknown' }

/** Everything about one statement. */
export interface StatementAnalysis {
  readonly command: Command
  readonly effects: readonly SessionEffect[]
  /** True if the statement sends rows (or COPY data) to the client. */
  readonly returnsRows: boolean
  /** For COPY … TO STDOUT / FROM STDIN. */
  readonly copy?: { readonly direction: 'in' | 'out'; readonly format: 'text' | 'csv' | 'binary'; readonly delimiter: string; readonly null: string; readonly quote: string; readonly escape: string; readonly header: boolean }
  /**
   * True if errors and notices of this statement may quote values of the columns it reads or writes in ways that
   * the sources of its fields don't show (casts, constraints, user-defined functions, triggers).
   */
  readonly mayQuoteValues: boolean
  /** True if the value of some constant took part in the result, so that the result holds for this text only. */
  readonly consultedConstants: boolean
}

/** A text as sent in one Query or Parse message. */
export type TextAnalysis =
  | { readonly ok: true; readonly statements: readonly StatementAnalysis[] }
  /** Not analysed: treated as one opaque command. */
  | { readonly ok: false; readonly reason: string; readonly statement: StatementAnalysis }
