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
  /** The search path was changed in the open transaction: its end brings another one back. */
  readonly searchPathMayRevert: boolean
  /** `current_user`; what `"$user"` stands for. */
  readonly currentUser: string
  /** False (or unknown = false) makes every statement with a plain string constant that holds a backslash opaque. */
  readonly standardConformingStrings: boolean
  /** As reported by the server, e.g. `UTF8`. Anything that can hide a quote in a multi-byte character is opaque. */
  readonly clientEncoding: string
  /** Definitions were changed by something in flight: relations can't be looked up, which makes statements that use any opaque. */
  readonly definitionsPending: boolean
  /** Statements made by PREPARE or Parse, by name: they share one name space. */
  statement(name: string): StatementAnalysis | undefined
  /** Open cursors and named portals. */
  cursor(name: string): StatementAnalysis | undefined
}

/** What a statement changes in the session if it succeeds. */
export type SessionEffect =
  /** Undefined: not known beforehand. */
  | {
      readonly kind: 'searchPath'
      readonly schemas: readonly string[] | undefined
      readonly scope: 'session' | 'transaction'
    }
  | { readonly kind: 'prepare'; readonly name: string; readonly statement: StatementAnalysis }
  | { readonly kind: 'deallocate'; readonly name: string | undefined }
  | { readonly kind: 'declareCursor'; readonly name: string; readonly statement: StatementAnalysis }
  | { readonly kind: 'closeCursor'; readonly name: string | undefined }
  | {
      readonly kind: 'transaction'
      readonly step: 'begin' | 'commit' | 'rollback' | 'savepoint' | 'rollbackTo' | 'release' | 'prepare'
    }
  /** The catalogue is not what it was; `temporary` when only this session sees the change. */
  | { readonly kind: 'definition'; readonly temporary: boolean }
  /** Anything may have changed: ask the server before the next analysis. */
  | { readonly kind: 'unknown' }

/** Everything about one statement. */
export interface StatementAnalysis {
  readonly command: Command
  readonly effects: readonly SessionEffect[]
  /**
   * The error that the server is certain to answer with (a name that doesn't exist, bad syntax); such a statement is
   * opaque, and this is what its client should hear.
   */
  readonly serverError?: { readonly code: string; readonly message: string; readonly position?: number }
  /** The number of result columns can't be told: {@link Command.fields} is one unproven field that stands for all. */
  readonly shapeUnknown: boolean
  /** True if the statement sends rows (or COPY data) to the client. */
  readonly returnsRows: boolean
  /** For COPY … TO STDOUT / FROM STDIN. */
  readonly copy?: {
    readonly direction: 'in' | 'out'
    readonly format: 'text' | 'csv' | 'binary'
    readonly delimiter: string
    readonly null: string
    readonly quote: string
    readonly escape: string
    readonly header: boolean
    /** `ENCODING`; absent: the session's client_encoding. */
    readonly encoding?: string
  }
  /** True if cursors or prepared statements of the session took part, so that the result holds for this moment only. */
  readonly contextual: boolean
  /** True if the value of some constant took part in the result, so that the result holds for this text only. */
  readonly consultedConstants: boolean
}

/** A text as sent in one Query or Parse message; what was not analysed is one opaque statement. Empty for an empty text. */
export type TextAnalysis = readonly StatementAnalysis[]
