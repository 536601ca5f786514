/** What SQL commands do that could get around the gateway, blind the server's log, or change who is let in. */
import type { Command, Touch } from '@firebreak/policy'
import type { Suspicions } from '../../suspicions.ts'
import type { SqlAction } from './actions.ts'

/** Nothing of this is an agent's work. */
const beyond: Partial<Record<SqlAction, string>> = {
  'sql:program': 'runs a program on the server',
  'sql:readFile': 'reads files of the server',
  'sql:writeFile': 'writes files of the server',
  'sql:load': 'loads a library into the server',
  'sql:remote': 'lets the server reach out to others',
  'sql:replicate': 'reads all changes past masking',
}

/** Where PostgreSQL keeps how people get in, and what may be done about it. */
const accountRelations = new Set([
  'pg_authid',
  'pg_shadow',
  'pg_hba_file_rules',
  'pg_ident_file_mappings',
  'pg_file_settings',
  'pg_user_mapping',
  'pg_user_mappings',
])

/** Functions of extensions that open connections: https://www.postgresql.org/docs/current/dblink.html */
const reachesOut = /^(dblink|postgres_fdw_|file_fdw_|http_|pg_background_)/

/** Of accounts and of the statements that the gateway uses itself. */
const ownNames = /^firebreak(_|$)/i

/** Settings by which the server's log, or what is loaded into it, is turned off or replaced. */
const logSettings = /^(log_(?!min_duration|temp)|pgaudit\.|auto_explain\.|(shared|session|local)_preload_)/

const administers = new Set<string>(['sql:create', 'sql:alter', 'sql:drop', 'sql:grant', 'sql:revoke'])

export const postgresqlSuspicions: Suspicions = {
  reachesAround: (command) => firstOf(command, aroundInWords),
  mayReachAround: (command) => firstOf(command, mayInWords),
  readsOn: ({ facts }) => facts.sql?.kind === 'fetch',
  isProbe: (code) => probeCodes.has(code),
  tried: () => undefined,
  passing: ({ kind, path }) => kind === 'setting' || /^pg_(temp|toast)/.test(path[0] ?? ''),
}

/** Undefined and forbidden objects. PostgreSQL's documentation, Appendix A. */
const probeCodes = new Set(['42P01', '42703', '42883', '3F000', '42501', '42704'])

function firstOf({ touches }: Command, inWords: (touch: Touch) => string | undefined): string | undefined {
  for (const touch of touches) {
    const words = touch.origin === 'implied' ? undefined : inWords(touch)
    if (words !== undefined) return words
  }
  return undefined
}

function aroundInWords({ action, object: { kind, path } }: Touch): string | undefined {
  const name = path.at(-1) ?? ''
  if (ownNames.test(name)) return `is about ${name}, which is the gateway's own`
  if (action === 'sql:call' && reachesOut.test(name))
    return `lets the server reach out to others by ${name}()`
  if (action === 'sql:alter' && kind === 'server') return `changes the server's setting ${name}`
  if (action === 'sql:set' && logSettings.test(name)) return `changes what the server logs or loads (${name})`
  if (action === 'sql:select' && accountRelations.has(name))
    return `reads how the server lets people in (${name})`
  return beyond[action as SqlAction]
}

function mayInWords({ action, object: { kind, path } }: Touch): string | undefined {
  const name = path.at(-1) ?? ''
  if (kind === 'role' && administers.has(action)) return `changes role ${name}`
  if (action === 'sql:setRole' && name !== 'default') return `becomes role ${name}`
  if (action === 'sql:alter' && kind === 'database') return `changes database ${name}`
  return action === 'sql:administer' ? `administers the server by ${name}()` : undefined
}
