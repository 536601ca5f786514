/** An API server with one Deployment, which answers patches and their dry runs as a test says, and remembers what reached it. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { type KubernetesShop, kubernetesManifests } from './kubernetes-shop.ts'
import { Guard } from './shop.ts'

export interface ReachedByPatch {
  readonly url: string
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

export type Respond = (response: ServerResponse, reached: ReachedByPatch) => void

export interface Deployment {
  readonly version?: string
  /** What its container has besides. */
  readonly container?: object
  /** What its pods have besides. */
  readonly pod?: object
}

export const deployment = ({ version = '7', container = {}, pod = {} }: Deployment = {}): object => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'web', namespace: 'prod', resourceVersion: version },
  spec: { template: { spec: { containers: [{ name: 'c', image: 'i', ...container }], ...pod } } },
})

export const answers =
  (status: number, body: object | string, type = 'application/json'): Respond =>
  (response) =>
    response
      .writeHead(status, { 'content-type': type })
      .end(typeof body === 'string' ? body : JSON.stringify(body))

/** A Status object, as API servers have it for what fails. */
export const says = (code: number, message: string): Respond =>
  answers(code, { kind: 'Status', apiVersion: 'v1', status: 'Failure', message, code })

/** Of the Deployment. */
export const patchedPath = '/apis/apps/v1/namespaces/prod/deployments/web'
/** A strategic merge patch of the Deployment. */
export const image = '{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"i"}]}}}}'

/** For the tests of a suite: each may have a gateway of its own in front of it. */
export class PatchedApi {
  readonly reached: ReachedByPatch[] = []
  /** Answers dry runs. */
  tried: Respond = answers(200, deployment())
  /** Answers whatever is no dry run. */
  done: Respond = answers(200, deployment())
  readonly #server: Server
  #gateway: Guard | undefined

  constructor() {
    this.#server = createServer((request, response) => void this.#hear(request, response))
    before(async () => {
      this.#server.listen(0, '127.0.0.1')
      await once(this.#server, 'listening')
    })
    after(() => {
      this.#server.closeAllConnections()
      this.#server.close()
    })
    beforeEach(() => {
      this.reached.length = 0
      this.tried = answers(200, deployment())
      this.done = answers(200, deployment({ version: '8' }))
    })
    afterEach(async () => {
      await this.#gateway?.[Symbol.asyncDispose]()
      this.#gateway = undefined
    })
  }

  /** What reached it and was no dry run. */
  get sent(): readonly ReachedByPatch[] {
    return this.reached.filter(({ url }) => !url.includes('dryRun=All'))
  }

  /** A gateway, with its credential in the file `token` as well. */
  async guard(about: Omit<KubernetesShop, 'address'>): Promise<Guard> {
    const { port } = this.#server.address() as AddressInfo
    const manifests = kubernetesManifests({ address: `127.0.0.1:${port}`, ...about })
    this.#gateway = await Guard.start({ 'firebreak.yaml': manifests, token: 'canary-token' }, 'canary-token')
    return this.#gateway
  }

  async #hear(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { url = '', headers } = request
    const reached = { url, headers, body: (await buffer(request)).toString() }
    if (url.includes('watch=1')) {
      // nothing happens
      response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders()
      return
    }
    this.reached.push(reached)
    const respond = url.includes('dryRun=All') ? this.tried : this.done
    respond(response, reached)
  }
}
