/** A client connection from its first byte to its last. */
import type { Socket } from 'node:net'
import type {
  Claim,
  Credential,
  Gateway,
  GuardedSession,
  Protocol,
  Refusal,
  Result,
  Target,
} from '../../../session.ts'
import { dropLeftAccounts, type Maker, makeAccount, type ShortLivedAccount } from '../accounts/short-lived.ts'
import { Analyser } from '../analysis/analyser.ts'
import { analyseStartup } from '../analysis/startup.ts'
import { CatalogueCache } from '../catalogue/cache.ts'
import * as encode from '../codec/encode.ts'
import { type CancelKey, cancelByKey, forgetKey, issueKey } from '../handshake/cancel.ts'
import { acceptClient, type StartedClient } from '../handshake/client.ts'
import { type ConnectFailure, connectServer } from '../handshake/server.ts'
import { refusedSession } from './refusals.ts'
import { Session } from './session.ts'
import { SessionState } from './state.ts'

const handshakeTimeout = 30_000

/** One analysis memory for all sessions: what a text means depends on nothing else than its key. */
const analyser = new Analyser()

export const postgresql: Protocol = { serve, dropLeftAccounts }

async function serve(socket: Socket, gateway: Gateway): Promise<void> {
  socket.on('error', () => {})
  socket.setNoDelay(true)
  const deadline = AbortSignal.timeout(handshakeTimeout)
  try {
    const accepted = await acceptClient(socket, gateway, deadline)
    if (accepted.kind === 'cancel') await cancelByKey(accepted, deadline)
    else if (accepted.kind === 'started') await startSession(accepted, gateway, deadline)
  } catch {
    // a client that went away or spoke nonsense before it was anybody: there is nobody to tell
  } finally {
    if (socket.writable) socket.end()
    setTimeout(() => socket.destroy(), 2_000).unref()
  }
}

async function startSession(started: StartedClient, gateway: Gateway, deadline: AbortSignal): Promise<void> {
  const { socket: client, parameters, token } = started
  client.on('error', () => {})
  const role = parameters.get('user')
  const claim: Claim = {
    remoteAddress: client.remoteAddress ?? 'unix',
    ...(role !== undefined && { role }),
    ...(token !== undefined && { token }),
  }
  const { target } = gateway
  const opened = await gateway.open(claim)
  if (!opened.ok) return refuse(client, refusedSession(opened.error))
  using guarded = opened.value
  guarded.staysAt = target
  const database = databaseOf(parameters, target)
  if (database === undefined)
    return refuse(client, wrongDatabase(parameters.get('database') ?? '', target, guarded))
  await withServer(started, { gateway, target, guarded, database }, deadline)
}

/** Where a session is from its first byte to its last. */
interface SessionPlace {
  readonly gateway: Gateway
  readonly target: Target
  readonly guarded: GuardedSession
  readonly database: string
}

async function withServer(
  { socket: client, parameters, minor }: StartedClient,
  place: SessionPlace,
  deadline: AbortSignal,
): Promise<void> {
  const { gateway, target, guarded, database } = place
  const cache = catalogueOf(place)
  const catalogue = await cache.acquire(deadline)
  if (!catalogue.ok) return refuse(client, failedConnection(catalogue.error, guarded))
  let key: CancelKey | undefined
  let session: Session | undefined
  let account: ShortLivedAccount | undefined
  guarded.sizeOf = (object) => cache.sizeOf(object)
  using _ = cache.watch((inventory) => gateway.takeInventory(database, inventory))
  try {
    const refusal = decideStartup(guarded, analyseStartup(parameters, catalogue.value))
    if (refusal) return refuse(client, refusal)
    const credential = await guarded.credential(target)
    if (!credential.ok) return refuse(client, refusedSession(credential.error))
    if (guarded.ownAccount) {
      const made = await makeAccount(makerOf(place), guarded.ownAccount, guarded.id, deadline)
      if (!made.ok) return refuse(client, failedConnection(made.error, guarded))
      account = made.value
      guarded.auditAccount({ kind: 'made', account: account.credential.username })
    }
    const connected = await connectServer(
      target,
      account?.credential ?? credential.value,
      serverParameters(parameters, database),
      deadline,
    )
    if (!connected.ok) return refuse(client, failedConnection(connected.error, guarded))
    const server = connected.value
    const cancelHeld = (): boolean => session?.holding.cancel() ?? false
    key = server.key && issueKey(target, server.key, minor, cancelHeld)
    client.write(encode.authenticationOk)
    for (const [name, value] of server.parameters) client.write(encode.parameterStatus(name, value))
    if (key) client.write(encode.backendKeyData(key.processId, key.secret))
    const state = new SessionState(cache)
    for (const [name, value] of server.parameters) state.parameter(name, value)
    session = new Session(client, server, target, guarded, analyser, state, database)
    await session.run()
  } finally {
    if (key) forgetKey(key)
    cache.release()
    if (account) await dropAccount(account, guarded)
  }
}

function makerOf({ target, guarded, database }: SessionPlace): Maker {
  return { target, database, credential: () => currentCredential(guarded, target) }
}

async function dropAccount({ credential, drop }: ShortLivedAccount, guarded: GuardedSession): Promise<void> {
  const reason = await drop()
  const account = credential.username
  guarded.auditAccount(
    reason === undefined ? { kind: 'dropped', account } : { kind: 'left', account, reason },
  )
}

/** The resource's database stands. Clients that name none send their user's name. */
function databaseOf(parameters: ReadonlyMap<string, string>, target: Target): string | undefined {
  const user = parameters.get('user') ?? ''
  const asked = parameters.get('database') || user
  if (target.database === undefined) return asked
  return asked === target.database || asked === user ? target.database : undefined
}

function wrongDatabase(asked: string, target: Target, guarded: GuardedSession): Buffer {
  return encode.errorResponse({
    severity: 'FATAL',
    code: '3D000',
    message: `database "${asked}" is not part of resource ${guarded.subject.resource}`,
    hint: `It gives access to database "${target.database}". Reference ${guarded.reference()}.`,
  })
}

/** The startup packet's settings pass the policy like those of SET. */
function decideStartup(
  guarded: GuardedSession,
  command: Parameters<GuardedSession['decide']>[0],
): Buffer | undefined {
  const decision = guarded.decide(command)
  if (decision.effect === 'allow') return undefined
  const reference = guarded.reference()
  const error = { code: '42501', message: decision.reason }
  guarded.audit({
    reference,
    command,
    decision,
    outcome: { rows: 0, bytes: 0, maskedFields: [], milliseconds: 0, error },
  })
  const { hint } = decision
  const refusal: Refusal = {
    code: 'forbidden',
    message: `the connection was refused: ${decision.reason}`,
    reference,
    ...(hint !== undefined && { hint }),
  }
  return refusedSession(refusal)
}

const notForServer = new Set(['user', 'database', 'replication'])

function serverParameters(parameters: ReadonlyMap<string, string>, database: string): Map<string, string> {
  const kept = [...parameters].filter(([name]) => !notForServer.has(name) && !name.startsWith('_pq_.'))
  return new Map([['database', database], ...kept])
}

function failedConnection({ code, message, hint }: ConnectFailure, guarded: GuardedSession): Buffer {
  const reference = guarded.reference()
  return encode.errorResponse({
    severity: 'FATAL',
    code,
    message,
    hint: `${hint === undefined ? '' : `${hint} `}Reference ${reference}.`,
  })
}

function refuse(client: Socket, message: Buffer): void {
  client.end(message)
}

/** One catalogue per target, database and role: what a role may see of definitions is the same for all its sessions. */
const catalogues = new Map<string, CatalogueCache>()

function catalogueOf({ target, guarded, database }: SessionPlace): CatalogueCache {
  const { resource, role } = guarded.subject
  const key = JSON.stringify([resource, target, database, role])
  let cache = catalogues.get(key)
  if (!cache) {
    cache = new CatalogueCache(target, () => currentCredential(guarded, target), database)
    catalogues.set(key, cache)
  }
  return cache
}

async function currentCredential(
  guarded: GuardedSession,
  target: Target,
): Promise<Result<Credential, ConnectFailure>> {
  const current = await guarded.credential(target)
  return current.ok ? current : { ok: false, error: { code: '08001', message: current.error.message } }
}
