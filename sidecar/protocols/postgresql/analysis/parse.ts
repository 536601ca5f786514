/** PostgreSQL's own parser. */
import {
  loadModule,
  type ParseResult,
  parsePlPgSQLSync,
  parseSync,
  type RawStmt,
  SqlError,
} from 'libpg-query'

await loadModule()

export type Parsed =
  | { readonly ok: true; readonly statements: readonly RawStmt[] }
  /** @property position in characters from 0. */
  | { readonly ok: false; readonly message: string; readonly position?: number }

export function parseText(text: string): Parsed {
  // the library refuses it before it asks the parser; the server answers that it is empty
  if (text === '') return { ok: true, statements: [] }
  try {
    const result = parseSync(text) as ParseResult
    return { ok: true, statements: result.stmts ?? [] }
  } catch (error) {
    if (error instanceof SqlError)
      return { ok: false, message: error.message, position: error.sqlDetails?.cursorPosition ?? 0 }
    return {
      ok: false,
      message:
        error instanceof RangeError
          ? 'the statement is nested too deeply'
          : `the parser failed: ${error instanceof Error ? error.message : String(error)}`,
    }
  }
}

/** A function's or a DO block's body, as PL/pgSQL's own compiler sees it. @returns undefined when it doesn't compile. */
export function parseProcedural(statement: string): unknown {
  try {
    return parsePlPgSQLSync(statement)
  } catch {
    return undefined
  }
}
