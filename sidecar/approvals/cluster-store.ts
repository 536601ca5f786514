/** Requests as objects of the cluster's API. The operator writes them: a sidecar has no rights there, and asks it. */
import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { type CallOptions, type Client, Code, ConnectError, createClient } from '@connectrpc/connect'
import type { ApprovalRequest } from '@firebreak/crds'
import { Approvals, type FollowResponse } from '@firebreak/xds'
import type { Connection } from '../control/stream.ts'
import { type ApprovalStore, type Attempt, isFinished, type Standing } from './store.ts'

/** Without an answer for so long nobody is asked. In milliseconds. */
const askWithin = 10_000
/** Of one call; then it is made again. In milliseconds. */
const answerWithin = 5_000
const retryEvery = 200
/** Between two attempts to follow. In milliseconds. */
const longestBackoff = 10_000
/** Node's timers take no more. */
const longestTimer = 2 ** 31 - 1

/** The operator has understood, and will not. Everything else may be otherwise in a moment. */
const refusals: readonly Code[] = [
  Code.InvalidArgument,
  Code.NotFound,
  Code.AlreadyExists,
  Code.PermissionDenied,
  Code.ResourceExhausted,
  Code.FailedPrecondition,
  Code.Unimplemented,
]

type Call<Answer> = (client: Client<typeof Approvals>, options: CallOptions) => Promise<Answer>

export class ClusterStore implements ApprovalStore {
  readonly #pod: string
  /** Those that are not finished, as far as is known here. */
  readonly #open = new Set<string>()
  readonly #loaded = Promise.withResolvers<readonly ApprovalRequest[]>()
  readonly #ended = new AbortController()
  #connection = Promise.withResolvers<Connection>()
  #stands: (standing: Standing) => void = () => {}
  #following: Promise<void> | undefined

  /** @param pod name of the pod that this sidecar is in. */
  constructor(pod: string) {
    this.#pod = pod
  }

  /** A way to the operator is there; of several the newest is used. */
  connected(connection: Connection): void {
    // whoever waits for one, and whoever comes
    this.#connection.resolve(connection)
    const newest = Promise.withResolvers<Connection>()
    newest.resolve(connection)
    this.#connection = newest
    const lost = (): void => {
      if (this.#connection === newest) this.#connection = Promise.withResolvers()
    }
    connection.signal.addEventListener('abort', lost, { once: true })
  }

  /** Resolves when the operator has told what is open. */
  load(): Promise<readonly ApprovalRequest[]> {
    this.#following ??= this.#keepFollowing()
    return this.#loaded.promise
  }

  subscribe(_attempted: (attempt: Attempt) => void, stands: (standing: Standing) => void): void {
    this.#stands = stands
  }

  isOwn({ spec }: ApprovalRequest): boolean {
    return spec.pod === this.#pod
  }

  /** Users of a pod's containers are nobody to the API server. */
  async asker(): Promise<undefined> {}

  async add(request: ApprovalRequest): Promise<ApprovalRequest> {
    const answer = await this.#call(
      (client, options) => client.ask({ request: Buffer.from(JSON.stringify(request)) }, options),
      AbortSignal.timeout(askWithin),
    )
    return this.#noted(decoded(answer.request))
  }

  async use(
    { metadata: { name }, spec: { expiresAt } }: ApprovalRequest,
    signal: AbortSignal,
  ): Promise<boolean> {
    const claim = randomUUID()
    const left = expiresAt === undefined ? longestTimer : Date.parse(expiresAt) - Date.now()
    const until = AbortSignal.any([signal, AbortSignal.timeout(Math.min(Math.max(0, left), longestTimer))])
    try {
      // with the same claim it may be asked as often as it takes
      const answer = await this.#call((client, options) => client.use({ name, claim }, options), until)
      this.#open.delete(name)
      return answer.used
    } catch (error) {
      if (until.aborted) return false
      throw error
    }
  }

  /** What ends by the clock ends by the operator's as well, and is not told. */
  async write({ metadata: { name }, status }: ApprovalRequest): Promise<void> {
    this.#open.delete(name)
    if (status?.state !== 'Withdrawn') return
    await this.#call(
      (client, options) => client.withdraw({ name, reason: status.why ?? '' }, options),
      AbortSignal.timeout(askWithin),
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort()
    this.#loaded.resolve([])
    await this.#following
  }

  async #keepFollowing(): Promise<void> {
    const { signal } = this.#ended
    const first = new Map<string, ApprovalRequest>()
    let loaded = false
    let backoff = retryEvery
    const tell = (standing: Standing): void => {
      const { name, request } = standing
      if (loaded) this.#stands(standing)
      else if (request && !isFinished(request)) first.set(name, request)
      else first.delete(name)
    }
    const complete = (): void => {
      loaded = true
      backoff = retryEvery
      this.#loaded.resolve([...first.values()])
      first.clear()
    }
    while (!signal.aborted) {
      await this.#follow(tell, complete).catch(() => {})
      await delay(backoff * (0.5 + Math.random()), undefined, { signal, ref: false }).catch(() => {})
      backoff = Math.min(backoff * 2, longestBackoff)
    }
  }

  async #follow(tell: (standing: Standing) => void, complete: () => void): Promise<void> {
    const { client, options } = await this.#way(this.#ended.signal)
    for await (const { news } of client.follow({ names: [...this.#open] }, options)) {
      if (news.case === 'complete') complete()
      const standing = standingIn(news)
      if (!standing) continue
      if (standing.request) this.#noted(standing.request)
      else this.#open.delete(standing.name)
      tell(standing)
    }
  }

  #noted(request: ApprovalRequest): ApprovalRequest {
    if (isFinished(request)) this.#open.delete(request.metadata.name)
    else this.#open.add(request.metadata.name)
    return request
  }

  /** Asks until there is an answer. @throws Error with the operator's own words when it refuses, or when the signal gives up. */
  async #call<Answer>(call: Call<Answer>, until: AbortSignal): Promise<Answer> {
    const signal = AbortSignal.any([until, this.#ended.signal])
    let reason = 'there is no connection'
    for (;;) {
      try {
        const { client, options } = await this.#way(signal)
        return await call(client, { ...options, timeoutMs: answerWithin })
      } catch (error) {
        const { code, rawMessage } = ConnectError.from(error)
        if (!signal.aborted && refusals.includes(code)) throw new Error(rawMessage)
        if (!signal.aborted) reason = rawMessage
      }
      await delay(retryEvery, undefined, { signal, ref: false }).catch(() => {})
      if (signal.aborted) throw new Error(`the operator can't be reached: ${reason}`)
    }
  }

  async #way(signal: AbortSignal): Promise<{ client: Client<typeof Approvals>; options: CallOptions }> {
    const gaveUp = Promise.withResolvers<never>()
    const giveUp = (): void => gaveUp.reject(signal.reason)
    signal.addEventListener('abort', giveUp, { once: true })
    try {
      signal.throwIfAborted()
      const {
        transport,
        headers,
        signal: lost,
      } = await Promise.race([this.#connection.promise, gaveUp.promise])
      return {
        client: createClient(Approvals, transport),
        options: { headers, signal: AbortSignal.any([signal, lost]) },
      }
    } finally {
      signal.removeEventListener('abort', giveUp)
    }
  }
}

function standingIn(news: FollowResponse['news']): Standing | undefined {
  if (news.case === 'gone') return { name: news.value, request: undefined }
  if (news.case !== 'request') return undefined
  const request = decoded(news.value)
  return { name: request.metadata.name, request }
}

/** The operator has validated it. */
function decoded(value: Uint8Array): ApprovalRequest {
  return JSON.parse(Buffer.from(value).toString()) as ApprovalRequest
}
