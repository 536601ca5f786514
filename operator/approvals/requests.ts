/** What sidecars have done to requests. Every write is made on what was read, or not at all. */
import { isDeepStrictEqual } from 'node:util'
import { Code, ConnectError } from '@connectrpc/connect'
import type { AgentIdentity, ApprovalRequest } from '@firebreak/crds'
import { windowOf } from '@firebreak/sidecar/approvals/admission.ts'
import { isFinished } from '@firebreak/sidecar/approvals/store.ts'
import { SlidingWindow } from '@firebreak/sidecar/limits/sliding-window.ts'
import { compileAgent } from '../compile/agent.ts'
import type { NamespaceCompiler } from '../compile/namespace.ts'
import { ApiError, type KubernetesClient } from '../kubernetes/client.ts'
import { approvalRequests, ownerOf } from '../kubernetes/objects.ts'
import type { Key } from '../watch/informer.ts'
import type { World } from '../watch/world.ts'
import type { ProvenPod } from '../xds/authenticate.ts'
import { asked } from './asked.ts'
import { rolesGrantedTo } from './granted-roles.ts'
import { type Standing, standing } from './standing.ts'

type Stored = (typeof approvalRequests)['object']

/** Of all pods of an agent: a few more than one sidecar lets an identity have. */
const maximumOpen = 512
/** In all texts and parameters of an agent's requests, finished ones too: etcd is everybody's. */
const maximumCharacters = 16 * 1024 * 1024
/** Of all pods of an agent, by this replica. */
const maximumPerMinute = 1_200

export class ApprovalRequests {
  readonly #client: KubernetesClient
  readonly #world: World
  readonly #compiler: NamespaceCompiler
  readonly #made = new Map<Key, SlidingWindow>()

  constructor(client: KubernetesClient, world: World, compiler: NamespaceCompiler) {
    this.#client = client
    this.#world = world
    this.#compiler = compiler
  }

  /** Writes a request. Asked again by the same pod it is the same. @throws ConnectError when it can't be. */
  async ask(pod: ProvenPod, wanted: ApprovalRequest): Promise<Standing> {
    const now = new Date()
    const request = this.#checked(pod, wanted, now)
    const written = await this.#create(request)
    const { elevation } = written.spec
    if (!elevation?.breakGlass || standing(written, now).status.state !== 'Pending')
      return standing(written, now)
    const granted: Stored = { ...written, status: { state: 'Approved', ...windowOf(written.spec, now) } }
    return standing(await this.#client.replace(approvalRequests, granted, 'status'), now)
  }

  /** Takes an approval for the one time it is good for: written before it is answered. */
  async use(pod: ProvenPod, name: string, claim: string): Promise<{ used: boolean; request: Standing }> {
    const request = await this.#change(pod, name, (now) => {
      if (now.status.state !== 'Approved' || now.spec.elevation) return undefined
      const usedBy = { pod: nameIn(pod.key), claim }
      return { ...now.status, state: 'Used', usedAt: new Date().toISOString(), usedBy }
    })
    return { used: request.status.usedBy?.claim === claim, request }
  }

  async withdraw(pod: ProvenPod, name: string, why: string): Promise<void> {
    await this.#change(pod, name, ({ status }) => {
      if (status.state !== 'Pending' && status.state !== 'Approved') return undefined
      const over = status.grantedUntil !== undefined && { grantedUntil: new Date().toISOString() }
      return { ...status, state: 'Withdrawn', why, ...over }
    })
  }

  /** @param statusOf what is to be written; undefined when it stays as it is. */
  async #change(
    pod: ProvenPod,
    name: string,
    statusOf: (now: Standing) => Standing['status'] | undefined,
  ): Promise<Standing> {
    for (;;) {
      const found = await this.get(pod.agent, name)
      if (!found) throw new ConnectError(`there is no request ${name}`, Code.NotFound)
      const now = standing(found, new Date())
      const status = statusOf(now)
      if (!status) return now
      // who has voted is noted by who tells of it
      const { approvals: _, ...rest } = status
      const noted = found.status?.approvals && { approvals: found.status.approvals }
      try {
        const written = await this.#client.replace(
          approvalRequests,
          { ...found, status: { ...rest, ...noted } },
          'status',
        )
        return standing(written, new Date())
      } catch (error) {
        if (!(error instanceof ApiError && error.status === 409)) throw error
      }
    }
  }

  /** A request of an agent, as the API server has it now. */
  async get(agent: Key, name: string): Promise<Stored | undefined> {
    const request = await this.#client.get(approvalRequests, name, namespaceIn(agent))
    return request && agentOf(request) === agent ? request : undefined
  }

  #checked({ agent, key }: ProvenPod, wanted: ApprovalRequest, now: Date): Stored {
    const identity = this.#world.identities.get(agent)
    const namespace = this.#compiler.compile(this.#world.objectsOf(namespaceIn(agent)))
    const granted = rolesGrantedTo(agent, this.#world)
    const compiled = identity && compileAgent(identity, namespace, granted)
    if (!identity || compiled?.kind !== 'compiled')
      throw new ConnectError(`the agent ${agent} has no configuration now`, Code.FailedPrecondition)
    const { configuration } = compiled
    const request = asked(wanted, { pod: nameIn(key), agent, configuration, now })
    if (!request.ok) throw new ConnectError(request.error, Code.PermissionDenied)
    const full = this.#full(agent)
    if (full !== undefined) throw new ConnectError(full, Code.ResourceExhausted)
    return request.value.spec.kind === 'resumption' ? request.value : ownedBy(identity, request.value)
  }

  #full(agent: Key): string | undefined {
    let open = 0
    let characters = 0
    for (const request of this.#world.approvals.list()) {
      if (agentOf(request) !== agent) continue
      if (!isFinished(request)) open++
      characters += lengthOf(request)
    }
    if (characters > maximumCharacters)
      return `the requests of ${agent} have ${characters} characters, and more are not kept`
    if (open >= maximumOpen) return `${agent} has ${open} open requests, and that is the most it may have`
    const made = this.#made.get(agent) ?? new SlidingWindow(60_000)
    this.#made.set(agent, made)
    const now = performance.now()
    if (made.total(now) >= maximumPerMinute)
      return `${agent} has made ${maximumPerMinute} requests within a minute, and that is the most it may make`
    made.add(1, now)
    return undefined
  }

  async #create(request: Stored): Promise<Stored> {
    try {
      return await this.#client.create(approvalRequests, request)
    } catch (error) {
      if (!(error instanceof ApiError)) throw error
      if (error.status === 422 || error.status === 400)
        throw new ConnectError(error.message, Code.InvalidArgument)
      if (error.reason !== 'AlreadyExists') throw error
    }
    const { name, namespace } = request.metadata
    const there = await this.#client.get(approvalRequests, name, namespace)
    if (there && isDeepStrictEqual(whatIsAsked(there), whatIsAsked(request))) return there
    throw new ConnectError('its name is taken', Code.AlreadyExists)
  }
}

/** It is deleted with its agent. A suspension is not: who makes the agent anew must not end it. */
function ownedBy(identity: AgentIdentity, request: ApprovalRequest): Stored {
  return { ...request, metadata: { ...request.metadata, ownerReferences: [ownerOf(identity)] } }
}

/** The agent in whose pod a request was made. */
export function agentOf({ spec }: ApprovalRequest): Key {
  return spec.chain[0]?.identity ?? ''
}

function lengthOf({ spec: { command, justification = '' } }: ApprovalRequest): number {
  const texts = [command?.text ?? '', ...(command?.parameters ?? []), justification]
  return texts.reduce((sum, text) => sum + text.length, 0)
}

/** Without what changes with time, and with people. */
function whatIsAsked({ spec }: ApprovalRequest): unknown {
  const {
    requestedAt: _at,
    expiresAt: _until,
    decision: _decision,
    reason: _reason,
    votes: _,
    ...rest
  } = spec
  return JSON.parse(JSON.stringify(rest))
}

function namespaceIn(key: Key): string {
  return key.slice(0, key.indexOf('/'))
}

function nameIn(key: Key): string {
  return key.slice(key.indexOf('/') + 1)
}
