/** A TCP listener for one protected resource. */
import { createServer, type Server } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { ProtectedResource } from '@firebreak/crds'
import type { QualifiedName, SessionTerms, Subject } from '@firebreak/policy'
import { newReference } from '../audit/reference.ts'
import type { Configuration } from '../configuration/configuration.ts'
import { nameOf } from '../configuration/name.ts'
import { LiveSession } from '../decide/live-session.ts'
import type { Rejection } from '../identity/proof.ts'
import { misuseSignal } from '../identity/signal.ts'
import type { Runtime } from '../runtime.ts'
import type { Claim, Gateway, GuardedSession, Protocol, Refusal, Result, Target } from '../session.ts'
import { authenticate, identitiesFor, isLoopbackIdentity, splitUser } from './authenticate.ts'
import { Clients } from './clients.ts'
import { isLoopback } from './loopback.ts'
import { peerUser } from './peer-user.ts'
import { targetOf } from './target.ts'

export interface Address {
  readonly host: string
  readonly port: number
}

/** A client beyond that waits for the system's queue; each takes two sockets and some memory. */
const maximumConnections = 1_000
/** How long a client waits for the audit trail, which a connection leaves lines in too. In milliseconds. */
const auditWithin = 5_000

export class Listener {
  readonly resource: ProtectedResource
  readonly #server: Server
  readonly #clients = new Clients()

  static async open(
    resource: ProtectedResource,
    protocol: Protocol,
    runtime: Runtime,
    address: Address,
    onlyIdentity: string | undefined,
  ): Promise<Listener> {
    const listener = new Listener(resource, protocol, runtime, onlyIdentity)
    await listener.#listen(address)
    return listener
  }

  private constructor(
    resource: ProtectedResource,
    protocol: Protocol,
    runtime: Runtime,
    onlyIdentity: string | undefined,
  ) {
    this.resource = resource
    this.#server = createServer({ noDelay: true, keepAlive: true }, (socket) => {
      this.#clients.add(socket)
      const gateway = gatewayFor(nameOf(resource), runtime, onlyIdentity, () => peerUser(socket))
      if (gateway === undefined) socket.destroy()
      else this.#clients.serve(protocol.serve(socket, gateway))
    })
    this.#server.maxConnections = maximumConnections
  }

  get address(): Address {
    const address = this.#server.address()
    if (address === null || typeof address === 'string') throw new Error('the listener is closed')
    return { host: address.address, port: address.port }
  }

  /** Lets no more clients in, and those that are there end. */
  close(): Promise<void> {
    return this.#clients.close(this.#server)
  }

  #listen({ host, port }: Address): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject).listen(port, host, () => resolve())
    })
  }
}

const notFromHere = {
  code: 'unauthenticated',
  message: 'without a token only clients on this host are let in',
  hint: 'Connect through the loopback address, or give the identity a token.',
} as const

/** A resource as a configuration has it. */
interface GuardedResource {
  readonly configuration: Configuration
  readonly resource: ProtectedResource
  readonly target: Result<Target, string>
  /** Being there says of no identity who it is. */
  readonly withToken: boolean
}

const gone = { ok: false, error: 'the resource is gone' } as const
const nowhere: Target = { host: '', port: 0, tls: { mode: 'disable' } }

function guarded(name: QualifiedName, configuration: Configuration): GuardedResource | undefined {
  const resource = configuration.manifests.resources.find((candidate) => nameOf(candidate) === name)
  return (
    resource && {
      configuration,
      resource,
      target: targetOf(resource, configuration),
      withToken: !identitiesFor(resource, configuration).some(isLoopbackIdentity),
    }
  )
}

/** The stations as they are now; undefined when the resource is gone. */
export function gatewayFor(
  name: QualifiedName,
  runtime: Runtime,
  onlyIdentity: string | undefined,
  user?: () => number | undefined,
): Gateway | undefined {
  const found = guarded(name, runtime.configuration)
  if (!found) return undefined
  const clientTls = runtime.hostCertificates.get(found.resource.metadata.name) ?? runtime.clientTls
  let known = found
  // a connection may be kept for long, and outlive what its resource was when it began
  const now = (): GuardedResource => {
    const { configuration } = runtime
    if (known.configuration !== configuration)
      known = guarded(name, configuration) ?? { ...known, configuration, target: gone }
    return known
  }
  const targetNow = (): Target | undefined => {
    const { target } = now()
    return target.ok ? target.value : undefined
  }
  return {
    resource: name,
    get target() {
      return targetNow() ?? nowhere
    },
    ...(clientTls && { clientTls }),
    asksForToken: (user) => {
      const { resource, withToken } = now()
      return withToken || splitUser(user, resource).identity !== undefined
    },
    takeInventory: (part, inventory) => runtime.classified.take(name, part, inventory),
    async open(claim: Claim): Promise<Result<GuardedSession, Refusal>> {
      const { resource, target } = now()
      // a refusal too is only given when it can be recorded
      if (!(await canRecord(runtime, 'spool'))) return unrecorded()
      const authenticated =
        claim.token === undefined && !isLoopback(claim.remoteAddress)
          ? ({ ok: false, error: notFromHere } as const)
          : await authenticate(claim, resource, runtime, onlyIdentity, user)
      if (!authenticated.ok) return refuse(authenticated.error, claim, nameOf(resource), runtime)
      if (!target.ok)
        return refuse({ code: 'unavailable', message: target.error }, claim, nameOf(resource), runtime)
      const { audit } = runtime.configuration.snapshot.termsFor(runtime.elevated(authenticated.value.subject))
      if (!(await canRecord(runtime, audit.onFailure))) return unrecorded()
      // all that takes a moment, in which the identity may have been suspended, or a delegation revoked
      const { subject, proof } = authenticated.value
      const standing = runtime.renewed(proof)
      const refusal = standing.ok ? runtime.refusal(runtime.elevated(subject)) : standing.error
      if (refusal !== undefined)
        return refuse(
          { code: 'forbidden', message: refusal, ...beyondScope(subject) },
          claim,
          nameOf(resource),
          runtime,
        )
      const session = new LiveSession(runtime, authenticated.value, claim.remoteAddress, targetNow, user)
      const unrecordable = await session.record()
      if (unrecordable) {
        session[Symbol.dispose]()
        return refuse(unrecordable, claim, nameOf(resource), runtime)
      }
      const elsewhere = runtime.identities.usedElsewhere(authenticated.value.proof, claim.remoteAddress)
      if (elsewhere !== undefined) signalSecondPlace(session, elsewhere, claim, runtime)
      return { ok: true, value: session }
    },
  }
}

/** Who was passed on less than it asks for, and was told so, is no honest mistake. */
function beyondScope({ chain, resource, role }: Subject): Pick<Rejection, 'misuse' | 'chain'> {
  const beyond = chain.some(
    ({ scope }) => scope?.resources?.includes(resource) === false || scope?.roles?.includes(role) === false,
  )
  return beyond ? { misuse: 'beyondScope', chain: chain.map(({ identity }) => identity) } : {}
}

/** Waits a moment for an audit trail that can't be written. */
async function canRecord(
  { audit }: Runtime,
  onFailure: SessionTerms['audit']['onFailure'],
): Promise<boolean> {
  const until = performance.now() + auditWithin
  while (audit.blocks(onFailure)) {
    if (performance.now() > until) return false
    await delay(50, undefined, { ref: false })
  }
  return true
}

function unrecorded(): { readonly ok: false; readonly error: Refusal } {
  return {
    ok: false,
    error: {
      code: 'unavailable',
      message: "the gateway can't write its audit trail, and lets nothing pass without",
      reference: newReference(),
    },
  }
}

/** No refusal: the same agent may have moved, and whoever holds a token may use it. */
function signalSecondPlace(
  { id, subject }: LiveSession,
  before: string,
  { remoteAddress }: Claim,
  runtime: Runtime,
): void {
  runtime.notice('signal', {
    kind: 'tokenMisuse',
    severity: 'low',
    session: id,
    identity: (subject.chain.at(-1) ?? subject.chain[0]).identity,
    resource: subject.resource,
    remote: remoteAddress,
    explanation: `A token that was used from ${before} before is used from ${remoteAddress}.`,
  })
}

function refuse(
  rejection: Rejection,
  { remoteAddress, role }: Claim,
  resource: QualifiedName,
  runtime: Runtime,
): { readonly ok: false; readonly error: Refusal } {
  const { misuse, chain, identity: _, ...error } = rejection
  const refusal = { ...error, reference: newReference() }
  const { reference, message: reason } = refusal
  runtime.notice('session.refused', {
    reference,
    resource,
    remote: remoteAddress,
    role,
    reason,
    problem: misuse,
    chain,
  })
  const signal = misuseSignal(rejection, { reference, resource, remote: remoteAddress })
  if (signal) runtime.notice('signal', signal)
  return { ok: false, error: refusal }
}
