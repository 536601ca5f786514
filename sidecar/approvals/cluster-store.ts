/** Requests as objects of the cluster's API. The operator writes them: a sidecar has no rights there, and asks it. */
import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { CallOptions, Client } from '@connectrpc/connect'
import type { ApprovalRequest } from '@firebreak/crds'
import { Approvals, type FollowResponse } from '@firebreak/xds'
import { type OperatorCalls, retryEvery } from '../control/calls.ts'
import { type ApprovalStore, type Attempt, isFinished, type Standing } from './store.ts'

/** Without an answer for so long nobody is asked. In milliseconds. */
const askWithin = 10_000
/** Between two attempts to follow. In milliseconds. */
const longestBackoff = 10_000
/** Node's timers take no more. */
const longestTimer = 2 ** 31 - 1

type Call<Answer> = (client: Client<typeof Approvals>, options: CallOptions) => Promise<Answer>

export class ClusterStore implements ApprovalStore {
  readonly #pod: string
  readonly #operator: OperatorCalls
  /** Those that are not finished, as far as is known here. */
  readonly #open = new Set<string>()
  readonly #loaded = Promise.withResolvers<readonly ApprovalRequest[]>()
  readonly #ended = new AbortController()
  #stands: (standing: Standing) => void = () => {}
  #following: Promise<void> | undefined

  /** @param pod name of the pod that this sidecar is in. */
  constructor(pod: string, operator: OperatorCalls) {
    this.#pod = pod
    this.#operator = operator
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
    const { client, options } = await this.#operator.way(Approvals, this.#ended.signal)
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

  #call<Answer>(call: Call<Answer>, until: AbortSignal): Promise<Answer> {
    return this.#operator.call(Approvals, call, AbortSignal.any([until, this.#ended.signal]))
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
