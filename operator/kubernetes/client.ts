/** Requests to the API server: what controllers need of it, in the fewest words. */
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import type { KubeConfig } from '@kubernetes/client-node'
import { Agent, request } from 'undici'
import { type KubernetesObject, type ListOf, pods, type Resource, type WatchEvent } from './objects.ts'

/** Everything that the operator writes by server-side apply is known as written by it. */
export const fieldManager = 'firebreak'
const pageSize = 500
/** Of one request that the server puts off. */
const maximumAttempts = 5
/** However long it wants to be left alone. In seconds. */
const longestWait = 10
/** An answer that is read whole begins within that time, and doesn't pause for longer. In milliseconds. */
const answerWithin = 30_000

/** The API server said no. https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/ */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  readonly status: number
  /** `NotFound`, `Conflict`, `Expired` … */
  readonly reason: string

  constructor(status: number, reason: string, message: string) {
    super(message)
    this.status = status
    this.reason = reason
  }
}

interface Request {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly path: string
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>
  readonly body?: unknown
  readonly contentType?: string
  readonly signal?: AbortSignal | undefined
  /** The answer goes on for as long as the server has something to say. */
  readonly endless?: boolean
}

export interface Selection {
  readonly namespace?: string
  readonly labelSelector?: string
  readonly fieldSelector?: string
}

/** Where the API server is, and how one is known to it: a KubeConfig, as far as it is asked for that. */
export type ApiServerAccess = Pick<KubeConfig, 'getCurrentCluster' | 'getCurrentUser' | 'applyToHTTPSOptions'>

export class KubernetesClient implements AsyncDisposable {
  readonly #config: ApiServerAccess
  readonly #server: string
  readonly #agent: Agent
  readonly #ended = new AbortController()

  /** @throws Error when the configuration names no cluster. */
  constructor(config: ApiServerAccess) {
    const cluster = config.getCurrentCluster()
    const user = config.getCurrentUser()
    if (!cluster) throw new Error('the kubeconfig has no current cluster')
    this.#config = config
    this.#server = cluster.server
    const pem = (data: string | undefined, file: string | undefined): Buffer | undefined =>
      data ? Buffer.from(data, 'base64') : file ? readFileSync(file) : undefined
    const [ca, cert, key] = [
      pem(cluster.caData, cluster.caFile),
      pem(user?.certData, user?.certFile),
      pem(user?.keyData, user?.keyFile),
    ]
    this.#agent = new Agent({
      allowH2: false,
      connect: {
        ...(ca && { ca }),
        ...(cert && { cert }),
        ...(key && { key }),
        ...(cluster.tlsServerName && { servername: cluster.tlsServerName }),
        keepAlive: true,
        keepAliveInitialDelay: 30_000,
      },
      headersTimeout: answerWithin,
    })
  }

  /** Nothing is asked any more, and what was asked fails. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort()
    await this.#agent.destroy()
  }

  /** @returns undefined when there is none. */
  async get<T extends KubernetesObject>(
    resource: Resource<T>,
    name: string,
    namespace?: string,
  ): Promise<T | undefined> {
    try {
      return (await this.#json({ method: 'GET', path: resource.path(namespace, name) })) as T
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return undefined
      throw error
    }
  }

  /** What the API server says of a version of an API: its OpenAPI document. @returns undefined when it doesn't serve it. */
  async openApi(apiVersion: string): Promise<unknown> {
    try {
      return await this.#json({ method: 'GET', path: `/openapi/v3/apis/${apiVersion}` })
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return undefined
      throw error
    }
  }

  /** All objects, read page by page at one moment. */
  async list<T extends KubernetesObject>(
    resource: Resource<T>,
    selection: Selection = {},
    signal?: AbortSignal,
  ): Promise<{ items: T[]; resourceVersion: string }> {
    const items: T[] = []
    let resourceVersion = ''
    for await (const page of this.pages(resource, selection, signal)) {
      items.push(...page.items)
      resourceVersion = page.resourceVersion
    }
    return { items, resourceVersion }
  }

  /** All objects at one moment, for who doesn't keep them whole. */
  async *pages<T extends KubernetesObject>(
    resource: Resource<T>,
    { namespace, ...selectors }: Selection = {},
    signal?: AbortSignal,
  ): AsyncGenerator<{ readonly items: readonly T[]; readonly resourceVersion: string }> {
    let from: string | undefined
    do {
      const page = (await this.#json({
        method: 'GET',
        path: resource.path(namespace),
        query: { ...selectors, limit: pageSize, continue: from },
        signal,
      })) as ListOf<T>
      from = page.metadata.continue
      // items of a list don't say what they are
      const items = page.items.map((item) => typed(resource, item))
      yield { items, resourceVersion: page.metadata.resourceVersion }
    } while (from)
  }

  /**
   * Events from a resource version on, bookmarks included.
   *
   * @throws ApiError 410 when the version is too old.
   */
  async *watch<T extends KubernetesObject>(
    resource: Resource<T>,
    resourceVersion: string,
    { namespace, ...selectors }: Selection,
    signal: AbortSignal,
  ): AsyncGenerator<WatchEvent<T>> {
    const response = await this.#send({
      method: 'GET',
      path: resource.path(namespace),
      query: { ...selectors, watch: true, allowWatchBookmarks: true, resourceVersion },
      signal,
      endless: true,
    })
    for await (const line of linesOf(response.body)) {
      const event = JSON.parse(line) as WatchEvent<T>
      if (event.type === 'ERROR') throw errorOf(event.object)
      yield event
    }
  }

  /** The lines that a container has written, and with `follow` those that it will write. */
  async *log(
    { namespace, pod, container }: { namespace: string; pod: string; container: string },
    query: { readonly follow: boolean; readonly tailLines?: number | undefined },
    signal?: AbortSignal,
  ): AsyncGenerator<string> {
    const path = `${pods.path(namespace, pod)}/log`
    const what = { method: 'GET', path, query: { ...query, container }, signal, endless: true } as const
    const response = await this.#send(what)
    yield* linesOf(response.body)
  }

  /** @param options `dryRun`: what would be created, and nothing is. */
  async create<T extends KubernetesObject>(
    resource: Resource<T>,
    object: T,
    { dryRun = false }: { readonly dryRun?: boolean } = {},
  ): Promise<T> {
    const path = resource.path(object.metadata.namespace)
    return (await this.#json({
      method: 'POST',
      path,
      body: typed(resource, object),
      query: { fieldManager, ...(dryRun && { dryRun: 'All' }) },
    })) as T
  }

  /** Writes an object as it is. @throws ApiError 409 when it was changed since it was read. */
  async replace<T extends KubernetesObject>(
    resource: Resource<T>,
    object: T,
    subresource?: 'status',
  ): Promise<T> {
    const path = resource.path(object.metadata.namespace, object.metadata.name, subresource)
    return (await this.#json({
      method: 'PUT',
      path,
      body: typed(resource, object),
      query: { fieldManager },
    })) as T
  }

  /**
   * Server-side apply of the fields that are given; what others own in them is taken over.
   *
   * @param manager who owns them, where it isn't the operator.
   */
  async apply<T extends KubernetesObject>(
    resource: Resource<T>,
    object: T,
    subresource?: 'status',
    manager = fieldManager,
  ): Promise<T> {
    return (await this.#json({
      method: 'PATCH',
      path: resource.path(object.metadata.namespace, object.metadata.name, subresource),
      query: { fieldManager: manager, force: true },
      contentType: 'application/apply-patch+yaml',
      body: typed(resource, object),
    })) as T
  }

  /** An RFC 7386 patch, for what is not ours to own. */
  async merge<T extends KubernetesObject>(
    resource: Resource<T>,
    name: string,
    namespace: string | undefined,
    patch: unknown,
  ): Promise<T> {
    return (await this.#json({
      method: 'PATCH',
      path: resource.path(namespace, name),
      query: { fieldManager },
      contentType: 'application/merge-patch+json',
      body: patch,
    })) as T
  }

  /** It is no error if there is none. */
  async delete(resource: Resource<KubernetesObject>, name: string, namespace?: string): Promise<void> {
    try {
      await this.#json({ method: 'DELETE', path: resource.path(namespace, name) })
    } catch (error) {
      if (!(error instanceof ApiError && error.status === 404)) throw error
    }
  }

  async #json(what: Request): Promise<unknown> {
    const response = await this.#send(what)
    return await response.body.json()
  }

  /** A server that has no time for a request now says when to ask again, and has done nothing of it. */
  async #send(what: Request) {
    for (let attempt = 1; ; attempt++) {
      const response = await this.#attempt(what)
      if (response.statusCode < 300) return response
      const text = await response.body.text()
      const wait = Number(response.headers['retry-after'])
      if (response.statusCode !== 429 || !(wait > 0) || attempt === maximumAttempts)
        throw errorOf(statusIn(text) ?? { code: response.statusCode, message: text.slice(0, 500) })
      const signal = AbortSignal.any([this.#ended.signal, ...(what.signal ? [what.signal] : [])])
      await delay(Math.min(wait, longestWait) * 1_000, undefined, { signal })
    }
  }

  async #attempt(what: Request) {
    const { method, path, query = {}, body, contentType = 'application/json', signal, endless } = what
    const url = new URL(`${this.#server.replace(/\/$/, '')}${path}`)
    for (const [name, value] of Object.entries(query))
      if (value !== undefined) url.searchParams.set(name, String(value))
    return await request(url, {
      method,
      dispatcher: this.#agent,
      bodyTimeout: endless ? 0 : answerWithin,
      headers: {
        accept: 'application/json',
        'user-agent': 'firebreak-operator',
        ...(body !== undefined && { 'content-type': contentType }),
        ...(await this.#authorization()),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      ...(signal && { signal }),
    })
  }

  /** Asked anew each time: a token from a file is replaced before it expires. */
  async #authorization(): Promise<Record<string, string>> {
    const options: { headers?: Record<string, string> } = {}
    await this.#config.applyToHTTPSOptions(options as Parameters<KubeConfig['applyToHTTPSOptions']>[0])
    const authorization = options.headers?.Authorization
    return authorization ? { authorization } : {}
  }
}

/** The lines that aren't empty. What a connection that ends leaves of one is none. */
async function* linesOf(body: AsyncIterable<Buffer>): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of body) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
    rest = lines.pop() ?? ''
    yield* lines.filter((line) => line !== '')
  }
}

function typed<T extends KubernetesObject>({ apiVersion, kind }: Resource<T>, object: T): T {
  return { ...object, apiVersion, kind }
}

interface Status {
  readonly code?: number
  readonly reason?: string
  readonly message?: string
}

function statusIn(text: string): Status | undefined {
  try {
    return JSON.parse(text) as Status
  } catch {
    return undefined
  }
}

function errorOf({ code = 0, reason = '', message = 'the API server gave no reason' }: Status): ApiError {
  return new ApiError(code, reason, message)
}
