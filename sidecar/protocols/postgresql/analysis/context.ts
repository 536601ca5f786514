import type { Catalogue } from '../catalogue/types.ts'
import type { SessionContext } from './types.ts'

/** What a session knows before anything was set or prepared in it. */
export function newSession(
  catalogue: Catalogue,
  currentUser: string,
  searchPath: readonly string[],
): SessionContext {
  return {
    catalogue,
    searchPath,
    currentUser,
    standardConformingStrings: true,
    clientEncoding: 'UTF8',
    definitionsPending: false,
    searchPathMayRevert: false,
    statement: () => undefined,
    cursor: () => undefined,
  }
}
