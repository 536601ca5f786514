/** What becomes of a patch while something else changes: the policy, the object, people's minds. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import { decideRequest, listRequests } from '@firebreak/sidecar/approvals/desk.ts'
import { Guard } from '../../../test/shop.ts'

const all = `    - {name: all, match: {actions: ["k8s:*"]}, effect: allow}
`
const work = `    - {name: work, match: {actions: ["k8s:get", "k8s:patch"], objects: [prod.deployments]}, effect: allow}
`
const ask = `    - {name: ask, match: {actions: ["k8s:patch"], objects: [prod.deployments]}, effect: requireApproval, approval: {expiresAfter: 5m}}
`

interface Reached {
  readonly url: string
  readonly body: string
}

type Respond = (response: ServerResponse, reached: Reached) => void

const deployment = (resourceVersion: string, container: object = {}): object => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'web', namespace: 'prod', resourceVersion },
  spec: { template: { spec: { containers: [{ name: 'c', image: 'i', ...container }] } } },
})
const answers =
  (status: number, body: object): Respond =>
  (response) =>
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
const says = (code: number, message: string): Respond =>
  answers(code, { kind: 'Status', apiVersion: 'v1', status: 'Failure', message, code })

const image = '{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"i"}]}}}}'
const strategic = 'application/strategic-merge-patch+json'

describe('a patch while something changes', function () {
  this.timeout(30_000)
  const reached: Reached[] = []
  let tried: Respond
  let done: Respond
  const server = createServer((request, response) => {
    void buffer(request).then((bytes) => {
      const seen = { url: request.url ?? '', body: bytes.toString() }
      if (seen.url.includes('watch=1')) {
        response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders()
        return
      }
      reached.push(seen)
      if (seen.url.includes('dryRun=All')) tried(response, seen)
      else done(response, seen)
    })
  })
  let guard: Guard | undefined

  before(async () => {
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
  })
  after(() => {
    server.closeAllConnections()
    server.close()
  })
  beforeEach(() => {
    reached.length = 0
    tried = answers(200, deployment('7'))
    done = answers(200, deployment('8'))
  })
  afterEach(async () => {
    await guard?.[Symbol.asyncDispose]()
    guard = undefined
  })

  async function guarded(rules: string): Promise<Guard> {
    const { port } = server.address() as AddressInfo
    const manifests = `apiVersion: firebreak.dev/v1alpha1
kind: ProtectedResource
metadata: {name: shop}
spec:
  type: kubernetes
  address: 127.0.0.1:${port}
  tls: {mode: disable}
  roles: [{name: agent, credential: {env: {password: SHOP_PASSWORD}}}]
---
apiVersion: firebreak.dev/v1alpha1
kind: AgentIdentity
metadata: {name: tester}
spec: {authentication: {loopback: {}}, access: [{resource: shop, roles: [agent]}]}
---
apiVersion: firebreak.dev/v1alpha1
kind: GuardrailPolicy
metadata: {name: guard}
spec:
  rules:
${rules}`
    guard = await Guard.start({ 'firebreak.yaml': manifests }, 'canary-token')
    return guard
  }

  async function send(
    { address: { port } }: Guard,
    body: string | Buffer,
    type = strategic,
    path = '/apis/apps/v1/namespaces/prod/deployments/web',
    method = 'PATCH',
  ): Promise<{ readonly status: number; readonly text: string }> {
    const headers = { 'content-type': type }
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, { method, headers, body })
    return { status: answer.status, text: await answer.text() }
  }
  const sent = (): readonly string[] =>
    reached.filter(({ url }) => !url.includes('dryRun')).map(({ body }) => body)

  it('is not sent under another policy by which it would have been tried', async () => {
    const policy = await guarded(all)
    const url = `http://127.0.0.1:${policy.address.port}/api/v1/namespaces/prod/pods?watch=1`
    const watches = await Promise.all(Array.from({ length: 128 }, () => fetch(url)))
    const waiting = send(policy, image)
    await delay(300)
    assert.deepEqual(reached, [])
    const path = join(policy.directory, 'firebreak.yaml')
    // watches are not allowed any more, and make room
    writeFileSync(path, readFileSync(path, 'utf8').replace(all, work))
    const { status, text } = await waiting
    await Promise.allSettled(watches.map((watch) => watch.text()))
    assert.equal(status, 403, text)
    assert.match(text, /the policy has changed meanwhile; ask again/)
    assert.deepEqual(reached, [])
  })

  it('is answered by the API server once people agree, and not before', async () => {
    const policy = await guarded(work + ask)
    tried = says(422, 'canary-value is immutable')
    const waiting = send(policy, image)
    const approvals = join(policy.directory, 'approvals')
    const open = async (): Promise<string> => {
      for (;;) {
        const [request] = await listRequests(approvals).catch(() => [])
        if (request) return request.metadata.name
        await delay(30)
      }
    }
    await decideRequest(approvals, await open(), { decision: 'Approved', reason: 'a test' })
    const { status, text } = await waiting
    assert.equal(status, 422, text)
    assert.match(text, /canary-value is immutable/)
    assert.deepEqual([reached.length, sent()], [2, []])
    const refused = send(policy, image)
    await delay(200)
    const second = (await listRequests(approvals)).find(
      ({ status: at }) => (at?.state ?? 'Pending') === 'Pending',
    )
    assert.ok(second)
    await decideRequest(approvals, second.metadata.name, { decision: 'Denied', reason: 'a test' })
    const told = await refused
    assert.deepEqual([told.status, told.text.includes('canary')], [403, false], told.text)
  })
})
