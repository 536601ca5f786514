/** A Kubernetes API: lists and watches of many objects, directly and through Firebreak, deciding and masking. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type IncomingMessage, request as requestPlain } from 'node:http'
import { request as requestTls } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { type ControlPlane, startControlPlane } from '../e2e/index.ts'
import { KubernetesClient } from '../operator/kubernetes/client.ts'
import { configMaps } from '../operator/kubernetes/objects.ts'
import { kubeConfigOf } from '../test/api-server.ts'
import { startGateway } from './contenders.ts'
import { median } from './median.ts'

const objects = 5_000
/** Are made at once. */
const together = 50
const changes = 1_000
const rounds = 5
const path = '/api/v1/namespaces/bench/configmaps'

interface Contender {
  readonly name: string
  get(path: string, signal?: AbortSignal): Promise<IncomingMessage>
}

export async function benchKubernetes(): Promise<void> {
  await using stack = new AsyncDisposableStack()
  const plane = stack.use(await startControlPlane())
  const direct = directly(plane)
  console.log(`Making ${objects} ConfigMaps …`)
  await populate(plane)
  const directory = mkdtempSync(join(tmpdir(), 'firebreak-bench-'))
  stack.defer(() => rmSync(directory, { recursive: true, force: true }))
  const ca = join(directory, 'ca.crt')
  writeFileSync(ca, plane.ca)
  process.env.BENCH_TOKEN = (
    await plane.kubectl.run(['create', 'token', 'bench', '--namespace=bench'])
  ).trim()
  const contenders: Contender[] = [direct]
  for (const masks of [false, true]) {
    const name = masks ? 'firebreak masking' : 'firebreak'
    const { address } = stack.use(await startGateway(name, policy(new URL(plane.endpoint).host, ca, masks)))
    contenders.push({
      name,
      get: async (path, signal) => await send(requestPlain, address, path, {}, signal),
    })
  }
  await compare(contenders, `list of ${objects} objects`, listed)
  await compare(contenders, `watch, until ${objects} objects are there`, watched)
  await follow(contenders, plane)
}

type Send = typeof requestPlain | typeof requestTls

function directly(plane: ControlPlane): Contender {
  const { hostname, port } = new URL(plane.endpoint)
  const { certificate: cert, key } = plane.admin
  return {
    name: 'direct',
    get: async (path, signal) =>
      await send(
        requestTls,
        { host: hostname, port: Number(port) },
        path,
        { ca: plane.ca, cert, key },
        signal,
      ),
  }
}

function send(
  request: Send,
  address: { readonly host: string; readonly port: number },
  path: string,
  tls: object,
  signal?: AbortSignal,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const headers = { accept: 'application/json' }
    const sent = request(
      { ...address, ...tls, path, headers, agent: false, ...(signal && { signal }) },
      (answer) => {
        if (answer.statusCode === 200) resolve(answer)
        else reject(new Error(`${path} was answered with ${answer.statusCode}`))
      },
    )
    sent.on('error', reject).end()
  })
}

async function populate(plane: ControlPlane): Promise<void> {
  const { kubectl } = plane
  await kubectl.run(['create', 'namespace', 'bench'])
  await kubectl.run(['create', 'serviceaccount', 'bench', '--namespace=bench'])
  await kubectl.run([
    ...['create', 'clusterrolebinding', 'bench'],
    ...['--clusterrole=cluster-admin', '--serviceaccount=bench:bench'],
  ])
  await using client = new KubernetesClient(kubeConfigOf(plane))
  for (let at = 0; at < objects; at += together)
    await Promise.all(
      Array.from({ length: together }, (_, index) => {
        const metadata = { name: nameOf(at + index), namespace: 'bench', labels: { app: 'bench' } }
        const data = { password: `secret-${at + index}`, settings: 'x'.repeat(300) }
        return client.create(configMaps, { metadata, data })
      }),
    )
}

function nameOf(index: number): string {
  return `settings-${index}`
}

async function listed({ get }: Contender): Promise<void> {
  const { items } = JSON.parse((await buffer(await get(path))).toString()) as { items: unknown[] }
  // one is the cluster's own
  if (items.length < objects) throw new Error(`${items.length} of ${objects} objects were listed`)
}

async function watched(contender: Contender): Promise<void> {
  const stop = new AbortController()
  let seen = 0
  for await (const _ of events(contender, stop.signal)) if (++seen === objects) stop.abort()
}

async function compare(
  contenders: readonly Contender[],
  title: string,
  work: (contender: Contender) => Promise<void>,
): Promise<void> {
  const times = new Map<string, number[]>(contenders.map(({ name }) => [name, []]))
  for (let round = 0; round <= rounds; round++)
    for (const contender of contenders) {
      const at = performance.now()
      await work(contender)
      // the first is for the caches
      if (round > 0) times.get(contender.name)?.push(performance.now() - at)
    }
  const [first = Number.NaN] = contenders.map(({ name }) => median(times.get(name) ?? []))
  console.log(`\n${title}, median of ${rounds}`)
  for (const { name } of contenders) {
    const own = median(times.get(name) ?? [])
    console.log(
      `  ${name.padEnd(18)} ${own.toFixed(0).padStart(6)} ms, ${(first / own).toFixed(2)} of direct`,
    )
  }
}

/** Objects are changed one after the other while all watch: how much later than directly each hears of it. */
async function follow(contenders: readonly Contender[], { kubectl }: ControlPlane): Promise<void> {
  const stop = new AbortController()
  const heard = contenders.map(() => new Map<string, number>())
  const settled = contenders.map(() => Promise.withResolvers<void>())
  const watching = contenders.map(async (contender, index) => {
    let seen = 0
    for await (const { version, change } of events(contender, stop.signal)) {
      if (change) heard[index]?.set(version, performance.now())
      if (++seen === objects) settled[index]?.resolve()
      if (heard[index]?.size === changes) return
    }
  })
  await Promise.all(settled.map(({ promise }) => promise))
  const changing = kubectl.run([
    ...['annotate', 'configmaps', '--namespace=bench', '--overwrite'],
    ...Array.from({ length: changes }, (_, index) => nameOf(index)),
    'changed=yes',
  ])
  await Promise.all([changing, ...watching])
  stop.abort()
  console.log(`\nwatch, ${changes} changes, later than directly`)
  const [first] = heard
  for (const [index, { name }] of contenders.entries()) {
    if (index === 0) continue
    const later = [...(heard[index] ?? [])]
      .map(([version, at]) => at - (first?.get(version) ?? Number.NaN))
      .sort((a, b) => a - b)
    const at = (part: number): string => (later[Math.floor(later.length * part)] ?? Number.NaN).toFixed(3)
    console.log(`  ${name.padEnd(18)} p50 ${at(0.5)} ms, p99 ${at(0.99)} ms`)
  }
}

interface Event {
  readonly version: string
  readonly change: boolean
}

async function* events({ get }: Contender, signal: AbortSignal): AsyncGenerator<Event, undefined> {
  let rest = ''
  try {
    for await (const chunk of (await get(`${path}?watch=1&labelSelector=app%3Dbench`, signal)).setEncoding(
      'utf8',
    )) {
      const lines = (rest + chunk).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) {
        const { type, object } = JSON.parse(line) as {
          type: string
          object: { metadata: { resourceVersion: string } }
        }
        yield { version: object.metadata.resourceVersion, change: type === 'MODIFIED' }
      }
    }
  } catch (error) {
    if (!signal.aborted) throw error
  }
}

function policy(address: string, ca: string, masks: boolean): string {
  return `apiVersion: firebreak.dev/v1alpha1
kind: ProtectedResource
metadata: {name: bench}
spec:
  type: kubernetes
  address: ${address}
  tls: {mode: verify-full, ca: {file: {path: ${ca}}}}
  roles: [{name: agent, credential: {env: {password: BENCH_TOKEN}}}]
  classification: [{tags: [confidential], fields: ["*.configmaps.*.data.password"]}]
---
apiVersion: firebreak.dev/v1alpha1
kind: AgentIdentity
metadata: {name: bench}
spec:
  authentication: {loopback: {}}
  access: [{resource: bench, roles: [agent]}]
---
apiVersion: firebreak.dev/v1alpha1
kind: GuardrailPolicy
metadata: {name: bench}
spec:
  rules:
    - {name: read, match: {actions: ["k8s:get", "k8s:list", "k8s:watch"], objects: [bench]}, effect: allow}
    - {name: no-delete, match: {actions: ["k8s:delete"]}, effect: deny}
${masks ? '    - {name: hide, match: {tags: [confidential]}, effect: mask, mask: {strategy: redact}}\n' : ''}`
}
