/** A server account for one session: made at its beginning, dropped at its end. */
import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { AccountTerms, Credential, Result, Target } from '../../../session.ts'
import { ControlConnection } from '../catalogue/control-connection.ts'
import type { ConnectFailure } from '../handshake/server.ts'
import { scramVerifier } from './verifier.ts'

/** Before a session's own reference, so that the server's log and the audit trail tell of the same session. */
const prefix = 'firebreak_'
const accountNames = '^firebreak_[0-9a-z]{26}$'
/** How long a backend may take to go before it is ended. In milliseconds, as the others. */
const backendLeavesWithin = 2_000
/** And how long after that. */
const backendEndsWithin = 5_000
const dropTimeout = 20_000

export interface ShortLivedAccount {
  readonly credential: Credential
  /** After the session's connection was closed. @returns why the account could not be dropped; it can't log in then. */
  drop(): Promise<string | undefined>
}

/** The way to the server as the account that may make accounts. */
export interface Maker {
  readonly target: Target
  readonly database: string
  readonly credential: () => Promise<Result<Credential, ConnectFailure>>
}

/**
 * Makes an account whose rights are those of the roles it is a member of.
 *
 * @param reference of the session.
 */
export async function makeAccount(
  maker: Maker,
  terms: AccountTerms,
  reference: string,
  signal: AbortSignal,
): Promise<Result<ShortLivedAccount, ConnectFailure>> {
  const opened = await connect(maker, signal)
  if (!opened.ok) return opened
  using connection = opened.value
  const username = `${prefix}${reference.toLowerCase()}`
  const password = randomBytes(32).toString('base64url')
  try {
    await sweep(connection)
    const heir = terms.memberOf[0]
    if ((await connection.value(`SELECT pg_catalog.pg_has_role(${literal(heir)}, 'USAGE')::text`)) !== 'true')
      throw new Error(`it has not the rights of ${heir}, which takes over what a session leaves behind`)
    const until = await connection.value(
      `SELECT pg_catalog.to_char((pg_catalog.clock_timestamp() + pg_catalog.make_interval(secs => ${terms.validForSeconds})) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')`,
    )
    await connection.value(
      `CREATE ROLE ${identifier(username)} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS INHERIT CONNECTION LIMIT 1 PASSWORD ${literal(await scramVerifier(password))} VALID UNTIL ${literal(until)} IN ROLE ${terms.memberOf.map(identifier).join(', ')}`,
    )
  } catch (error) {
    return {
      ok: false,
      error: {
        code: '08001',
        message: `no account could be made for the session: ${messageOf(error)}`,
        hint: "The role's account needs CREATEROLE, ADMIN OPTION on the roles of shortLived.memberOf, and the rights of the first of them.",
      },
    }
  }
  return {
    ok: true,
    value: {
      credential: { username, password },
      drop: () => dropAccount(maker, username, terms.memberOf[0]),
    },
  }
}

async function dropAccount(maker: Maker, username: string, heir: string): Promise<string | undefined> {
  const opened = await connect(maker, AbortSignal.timeout(dropTimeout))
  if (!opened.ok) return opened.error.message
  using connection = opened.value
  try {
    await takeOver(connection, username)
    await backendGone(connection, username)
    await drop(connection, username, heir)
    return undefined
  } catch (error) {
    // what it owns can't be given on: nobody may use it, and a person has to look
    await connection
      .value(`ALTER ROLE ${identifier(username)} NOLOGIN PASSWORD NULL VALID UNTIL '-infinity'`)
      .catch(() => {})
    return messageOf(error)
  }
}

/** Gives the maker the account's rights, without which it may neither end its backend nor give its objects on. */
async function takeOver(connection: ControlConnection, username: string): Promise<void> {
  const mine = `SELECT pg_catalog.pg_has_role(${literal(username)}, 'USAGE')::text`
  if ((await connection.value(mine)) === 'true') return
  await connection.value(`GRANT ${identifier(username)} TO CURRENT_USER`)
  // since PostgreSQL 16 whoever makes a role does not inherit its rights unless that is said
  if ((await connection.value(mine)) !== 'true')
    await connection.value(`GRANT ${identifier(username)} TO CURRENT_USER WITH INHERIT TRUE`)
}

/** What the account owns goes to the first role that it was a member of, so that nobody gets more rights by it. */
async function drop(connection: ControlConnection, username: string, heir: string): Promise<void> {
  const name = identifier(username)
  await connection.value(`REASSIGN OWNED BY ${name} TO ${identifier(heir)}`)
  await connection.value(`DROP OWNED BY ${name}`)
  await connection.value(`DROP ROLE ${name}`)
}

/** Temporary objects go with the backend, and they have to be gone before their owner can. */
async function backendGone(connection: ControlConnection, username: string): Promise<void> {
  const backends = `FROM pg_catalog.pg_stat_activity WHERE usename = ${literal(username)}`
  const goneWithin = async (milliseconds: number): Promise<boolean> => {
    for (let waited = 0; waited < milliseconds; waited += 50) {
      if ((await connection.value(`SELECT pg_catalog.count(*)::text ${backends}`)) === '0') return true
      await delay(50)
    }
    return false
  }
  if (await goneWithin(backendLeavesWithin)) return
  await connection.value(`SELECT pg_catalog.count(pg_catalog.pg_terminate_backend(pid))::text ${backends}`)
  if (!(await goneWithin(backendEndsWithin)))
    throw new Error(`the session of ${username} on the server does not end`)
}

/** As {@link makeAccount} does each time: for a gateway that has just started. */
export async function dropLeftAccounts(target: Target, credential: Credential): Promise<void> {
  const database = target.database ?? credential.username
  const maker: Maker = { target, database, credential: async () => ({ ok: true, value: credential }) }
  const opened = await connect(maker, AbortSignal.timeout(dropTimeout))
  if (!opened.ok) return
  using connection = opened.value
  await sweep(connection).catch(() => {})
}

/** Drops what a gateway that was killed has left: accounts that can't log in any more, and that nobody is logged in with. */
async function sweep(connection: ControlConnection): Promise<void> {
  const left = await connection.value(
    `SELECT pg_catalog.json_agg(pg_catalog.json_build_array(r.rolname, (SELECT pg_catalog.min(g.rolname) FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles g ON g.oid = m.roleid WHERE m.member = r.oid)))::text
     FROM pg_catalog.pg_roles r
     WHERE r.rolname ~ ${literal(accountNames)} AND r.rolvaliduntil < pg_catalog.now()
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity a WHERE a.usename = r.rolname)`,
  )
  // one of another gateway, or with objects in another database, is left to those who can drop it
  for (const [name, heir] of (JSON.parse(left || '[]') ?? []) as [string, string | null][])
    if (heir !== null)
      await takeOver(connection, name)
        .then(() => drop(connection, name, heir))
        .catch(() => {})
}

async function connect(
  { target, database, credential }: Maker,
  signal: AbortSignal,
): Promise<Result<ControlConnection, ConnectFailure>> {
  const current = await credential()
  return current.ok
    ? await ControlConnection.open(target, current.value, database, signal, 'readWrite')
    : current
}

function identifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

/** An escape string, so that backslashes mean the same whatever the server's settings. */
function literal(text: string): string {
  return `E'${text.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
