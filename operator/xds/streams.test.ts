import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { create } from '@bufbuild/protobuf'
import { Code, ConnectError, createClient } from '@connectrpc/connect'
import { createGrpcTransport } from '@connectrpc/connect-node'
import {
  AggregatedDiscoveryService,
  type DeltaDiscoveryRequest,
  DeltaDiscoveryRequestSchema,
  DiscoveryRequestSchema,
  typeUrls,
} from '@firebreak/xds'
import { decodeJwt, decodeProtectedHeader, importPKCS8, SignJWT } from 'jose'
import { parse } from 'yaml'
import type { ControlPlane } from '../../e2e/index.ts'
import { Requests } from '../../sidecar/control/requests.ts'
import { startApiServer } from '../../test/api-server.ts'
import { eventuallyWith } from '../../test/eventually.ts'
import { ReplicaProcess } from '../testdata/replica-process.ts'

interface TokenWish {
  readonly pod?: string
  readonly audience?: string
  readonly text?: string
  /** Changed without a new signature. */
  readonly forged?: { readonly aud?: readonly string[]; readonly pod?: string; readonly alg?: string }
  /** Signed with the cluster's own key, as no API server would. Seconds. */
  readonly signed?: { readonly expiresIn: number }
}

const cases = parse(
  readFileSync(fileURLToPath(new URL('../../attacks/control-plane.yaml', import.meta.url)), 'utf8'),
) as {
  readonly attacks: readonly { name: string; token: TokenWish | 'none'; says: string }[]
  readonly wishes: readonly { name: string; subscribe: readonly string[] }[]
}

const agent = (name: string): string => `---
apiVersion: v1
kind: Secret
metadata: {name: ${name}-credential, namespace: agents}
stringData: {username: u, password: password-of-${name}}
---
apiVersion: firebreak.dev/v1alpha1
kind: ProtectedResource
metadata: {name: ${name}-db, namespace: agents}
spec:
  type: postgresql
  address: 127.0.0.1:1
  tls: {mode: disable}
  roles: [{name: agent, credential: {secret: {name: ${name}-credential}}}]
---
apiVersion: firebreak.dev/v1alpha1
kind: AgentIdentity
metadata: {name: ${name}, namespace: agents}
spec:
  workload: {podSelector: {matchLabels: {app: ${name}}}}
  access: [{resource: ${name}-db, roles: [agent]}]
`

describe('a configuration stream', function () {
  this.timeout('2m')
  const stack = new AsyncDisposableStack()
  let cluster: ControlPlane
  let operator: ReplicaProcess

  const kubectl = (...words: string[]): Promise<string> => cluster.kubectl.run(words)
  const uidOf = (pod: string): Promise<string> =>
    kubectl('get', 'pod', pod, '-n', 'agents', '-o', 'jsonpath={.metadata.uid}')
  const makePod = async (name: string, app: string): Promise<void> => {
    await cluster.kubectl.run(['apply', '-f', '-'], {
      input: JSON.stringify({
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name, namespace: 'agents', labels: { app } },
        spec: { serviceAccountName: 'bot', containers: [{ name: 'agent', image: 'x' }] },
      }),
    })
  }
  const issued = async ({ pod, audience }: TokenWish): Promise<string> => {
    const words = ['create', 'token', 'bot', '-n', 'agents']
    if (audience !== undefined && audience !== 'default') words.push(`--audience=${audience}`)
    if (pod !== undefined) words.push('--bound-object-kind=Pod', `--bound-object-name=${pod}`)
    return (await kubectl(...words)).trim()
  }
  const forge = async (
    token: string,
    { aud, pod, alg }: NonNullable<TokenWish['forged']>,
  ): Promise<string> => {
    const [header = '', payload = '', signature = ''] = token.split('.')
    const edit = (part: string, change: (object: Record<string, unknown>) => void): string => {
      const object = JSON.parse(Buffer.from(part, 'base64url').toString()) as Record<string, unknown>
      change(object)
      return Buffer.from(JSON.stringify(object)).toString('base64url')
    }
    const uid = pod === undefined ? '' : await uidOf(pod)
    const claims = edit(payload, (object) => {
      if (aud) object.aud = aud
      if (pod !== undefined)
        object['kubernetes.io'] = { ...(object['kubernetes.io'] as object), pod: { name: pod, uid } }
    })
    if (alg === undefined) return `${header}.${claims}.${signature}`
    return `${edit(header, (object) => Object.assign(object, { alg }))}.${claims}.`
  }
  const signed = async (token: string, expiresIn: number): Promise<string> => {
    const certificates = join(dirname(cluster.kubeconfig), 'certificates')
    assert.ok(readdirSync(certificates).includes('service-accounts.key'))
    const { kid = '' } = decodeProtectedHeader(token)
    const key = await importPKCS8(readFileSync(join(certificates, 'service-accounts.key'), 'utf8'), 'ES256')
    const exp = Math.floor(Date.now() / 1000) + expiresIn
    return await new SignJWT({ ...decodeJwt(token), exp }).setProtectedHeader({ alg: 'ES256', kid }).sign(key)
  }
  const tokenFor = async (wish: TokenWish | 'none'): Promise<string | undefined> => {
    if (wish === 'none') return undefined
    if (wish.text !== undefined) return wish.text === 'long' ? `${'a'.repeat(20_000)}.b.c` : wish.text
    const token = wish.pod === 'deleted' ? deleted : await issued(wish)
    if (wish.signed) return await signed(token, wish.signed.expiresIn)
    return wish.forged ? await forge(token, wish.forged) : token
  }
  let deleted = ''

  /** Opens a stream for our own type. @returns its responses and how it ends. */
  const open = (token: string | undefined, subscribe: readonly string[] = []) => {
    const baseUrl = `https://127.0.0.1:${operator.controlPort}`
    const transport = createGrpcTransport({ baseUrl, nodeOptions: { ca: operator.controlCa } })
    const requests = new Requests<DeltaDiscoveryRequest>()
    const stop = new AbortController()
    const send = (fields: Partial<DeltaDiscoveryRequest>): void =>
      requests.send(
        create(DeltaDiscoveryRequestSchema, {
          typeUrl: typeUrls.agentConfiguration,
          ...(fields as { resourceNamesSubscribe?: string[] }),
        }),
      )
    send({ resourceNamesSubscribe: [...subscribe] })
    const responses = createClient(AggregatedDiscoveryService, transport)
      .deltaAggregatedResources(requests, {
        signal: stop.signal,
        ...(token !== undefined && { headers: { authorization: `Bearer ${token}` } }),
      })
      [Symbol.asyncIterator]()
    return { responses, send, close: () => stop.abort() }
  }
  const refusalOf = async (token: string | undefined): Promise<ConnectError> => {
    const { responses } = open(token)
    const error = await responses.next().then(
      () => undefined,
      (reason: unknown) => reason,
    )
    assert.ok(error instanceof ConnectError, 'the stream was let in')
    return error
  }

  before(async function () {
    this.timeout('45m')
    cluster = stack.use(await startApiServer(['namespace', 'garbagecollector'])).cluster
    await kubectl('create', 'namespace', 'firebreak-system')
    const user = await cluster.user({ name: 'firebreak-operator', groups: ['system:masters'] })
    operator = stack.use(
      await ReplicaProcess.start({
        kubeconfig: user.kubeconfig,
        user: user.name,
        replica: 'one',
        controlPort: 0,
      }),
    )
    await kubectl('create', 'namespace', 'agents')
    await kubectl('create', 'serviceaccount', 'bot', '-n', 'agents')
    await cluster.kubectl.run(['apply', '-f', '-'], { input: agent('support-bot') + agent('other-bot') })
    await eventuallyWith(() => operator.log)(
      () => kubectl('get', 'namespace', 'agents', '--show-labels'),
      /firebreak\.dev\/agents=true/,
    )
    await makePod('bot-1', 'support-bot')
    await makePod('other-1', 'other-bot')
    await makePod('bystander', 'nobody')
    for (const name of ['ended', 'deleted']) await makePod(name, 'support-bot')
    deleted = await issued({ pod: 'deleted', audience: 'firebreak-control' })
    await kubectl('delete', 'pod', 'deleted', '-n', 'agents', '--grace-period=0', '--force')
    const status = ['--subresource=status', '--type=merge', '-p', '{"status":{"phase":"Succeeded"}}']
    await kubectl('patch', 'pod', 'ended', '-n', 'agents', ...status)
  })
  after(() => stack.disposeAsync())

  for (const { name, token, says } of cases.attacks) {
    it(`is refused to ${name}`, async () => {
      const error = await refusalOf(await tokenFor(token))
      assert.equal(error.code, Code.Unauthenticated)
      assert.equal(error.rawMessage, says)
    })
  }

  for (const { name, subscribe } of cases.wishes) {
    it(`gives a pod that asks for ${name} nothing but its own`, async () => {
      const token = await issued({ pod: 'bot-1', audience: 'firebreak-control' })
      const { responses, close } = open(token, subscribe)
      const { value } = await responses.next()
      const text = value.resources.map(({ resource }: { resource?: { value: Uint8Array } }) =>
        Buffer.from(resource?.value ?? []).toString(),
      )
      assert.ok(!text.join().includes('other-bot'), text.join())
      const own =
        subscribe.length === 0 || subscribe.includes('*') || subscribe.includes('agents/support-bot')
      assert.equal(text.length, own ? 1 : 0)
      assert.equal(text.join().includes('password-of-support-bot'), own)
      close()
    })
  }

  it('speaks the state-of-the-world form as well', async () => {
    const token = await issued({ pod: 'other-1', audience: 'firebreak-control' })
    const baseUrl = `https://127.0.0.1:${operator.controlPort}`
    const transport = createGrpcTransport({ baseUrl, nodeOptions: { ca: operator.controlCa } })
    const stop = new AbortController()
    async function* requests() {
      for (const typeUrl of Object.values(typeUrls)) yield create(DiscoveryRequestSchema, { typeUrl })
      await new Promise((resolve) => stop.signal.addEventListener('abort', resolve))
    }
    const types: string[] = []
    for await (const response of createClient(
      AggregatedDiscoveryService,
      transport,
    ).streamAggregatedResources(requests(), { headers: { authorization: `Bearer ${token}` } })) {
      types.push(response.typeUrl)
      assert.ok(response.resources.length > 0)
      if (types.length === 3) break
    }
    stop.abort()
    assert.deepEqual(types, Object.values(typeUrls))
  })

  it('ends when the token expires', async () => {
    const token = await issued({ pod: 'bot-1', audience: 'firebreak-control' })
    const { responses } = open(await signed(token, 8))
    await responses.next()
    await assert.rejects(responses.next(), /the token has expired/)
  })

  it('ends when the pod is gone', async () => {
    await makePod('bot-2', 'support-bot')
    const { responses } = open(await issued({ pod: 'bot-2', audience: 'firebreak-control' }))
    await responses.next()
    await kubectl('delete', 'pod', 'bot-2', '-n', 'agents', '--grace-period=0', '--force')
    await assert.rejects(responses.next(), /the pod is gone/)
  })

  it('takes away the configuration of an agent that is no more', async () => {
    const token = await issued({ pod: 'other-1', audience: 'firebreak-control' })
    const { responses, close } = open(token)
    await responses.next()
    await kubectl('delete', 'agentidentity', 'other-bot', '-n', 'agents')
    const { value } = await responses.next()
    assert.deepEqual(value.removedResources, ['agents/other-bot'])
    close()
  })

  it('is served with a certificate of its own, to nobody who trusts others only', async () => {
    const baseUrl = `https://127.0.0.1:${operator.controlPort}`
    const transport = createGrpcTransport({ baseUrl })
    const stream = createClient(AggregatedDiscoveryService, transport).deltaAggregatedResources(
      new Requests<DeltaDiscoveryRequest>(),
    )
    await assert.rejects(stream[Symbol.asyncIterator]().next(), /certificate/)
  })
})
