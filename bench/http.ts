/** HTTP: direct, Envoy as a plain proxy and with a program that it asks, and Firebreak deciding and masking, side by side. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { fileURLToPath } from 'node:url'
import type { Address } from '@firebreak/sidecar'
import { startGateway } from './contenders.ts'
import { startEnvoy } from './http-envoy.ts'
import { median } from './median.ts'

export interface Contender {
  readonly name: string
  readonly address: Address
  /** What it runs in. */
  readonly processIds: readonly number[]
}

interface Measured {
  readonly requestsPerSecond: number
  readonly p50: number
  readonly p99: number
  /** Of the contender's own processor time, in microseconds. */
  readonly perRequest: number
}

const sizes = [100, 10_240] as const
const connections = [1, 16] as const

export async function benchHttp(seconds: number): Promise<void> {
  for (const size of sizes) {
    await using stack = new AsyncDisposableStack()
    const target = stack.use(await startTarget(size))
    const contenders: Contender[] = [{ name: 'direct', address: target.address, processIds: [] }]
    for (const asks of [undefined, 'heads', 'bodies'] as const)
      contenders.push(stack.use(await startEnvoy(target.address, asks)))
    for (const masks of [false, true]) {
      const name = masks ? 'firebreak masking' : 'firebreak'
      const { address, processId } = stack.use(await startGateway(name, policy(target.address, masks)))
      contenders.push({ name, address, processIds: [processId] })
    }
    for (const count of connections) await compare(contenders, size, count, seconds)
  }
}

/** Every contender in turn, three times, so that a drift of the machine meets all alike. */
async function compare(
  contenders: readonly Contender[],
  size: number,
  count: number,
  seconds: number,
): Promise<void> {
  const results = new Map<string, Measured[]>()
  // until the programs that are compiled as they run have settled
  for (const contender of contenders) await measure(contender, count, seconds)
  for (let turn = 0; turn < 3; turn++)
    for (const contender of contenders)
      results.set(contender.name, [
        ...(results.get(contender.name) ?? []),
        await measure(contender, count, seconds / 3),
      ])
  const of = (name: string, what: keyof Measured): number =>
    median((results.get(name) ?? []).map((measured) => measured[what]))
  console.log(`\nGET of ${size} bytes of JSON, ${count} connection${count === 1 ? '' : 's'}`)
  for (const { name } of contenders) {
    const own = of(name, 'perRequest')
    const ratio =
      name === 'direct' || own === 0
        ? ''
        : `, per core ${(of('envoy', 'perRequest') / own).toFixed(2)} of envoy`
    console.log(
      `  ${name.padEnd(21)} ${of(name, 'requestsPerSecond').toFixed(0).padStart(7)} requests/s, p50 ${of(name, 'p50').toFixed(3)} ms, p99 ${of(name, 'p99').toFixed(3)} ms, ${own.toFixed(0)} µs of processor each${ratio}`,
    )
  }
}

/** Each connection sends its next request when the answer to the last one is there to its end. */
async function measure(
  { address, processIds }: Contender,
  count: number,
  seconds: number,
): Promise<Measured> {
  const until = performance.now() + seconds * 1000
  const before = processorTime(processIds)
  const latencies: number[] = []
  await Promise.all(Array.from({ length: count }, () => load(address, until, latencies)))
  const spent = processorTime(processIds) - before
  latencies.sort((a, b) => a - b)
  const at = (part: number): number => latencies[Math.floor(latencies.length * part)] ?? 0
  return {
    requestsPerSecond: latencies.length / seconds,
    p50: at(0.5),
    p99: at(0.99),
    perRequest: spent / latencies.length,
  }
}

const request = Buffer.from('GET /users/42?sort=name HTTP/1.1\r\nHost: bench\r\nAccept: */*\r\n\r\n')

async function load({ host, port }: Address, until: number, latencies: number[]): Promise<void> {
  const socket = connect({ host, port, noDelay: true })
  await once(socket, 'connect')
  const finished = Promise.withResolvers<void>()
  let sentAt = performance.now()
  let received: Buffer = Buffer.alloc(0)
  socket.on('error', finished.reject)
  socket.on('close', () => finished.resolve())
  socket.on('data', (chunk: Buffer) => {
    received = received.length === 0 ? chunk : Buffer.concat([received, chunk])
    if (!isWhole(received)) return
    if (received.subarray(9, 12).toString() !== '200') finished.reject(new Error(received.toString()))
    received = Buffer.alloc(0)
    const now = performance.now()
    latencies.push(now - sentAt)
    if (now >= until) {
      socket.destroy()
      return
    }
    sentAt = now
    socket.write(request)
  })
  socket.write(request)
  await finished.promise
}

function isWhole(received: Buffer): boolean {
  const end = received.indexOf('\r\n\r\n')
  if (end < 0) return false
  const length = /\r\ncontent-length: ([0-9]+)/i.exec(received.toString('latin1', 0, end))?.[1]
  if (length !== undefined) return received.length >= end + 4 + Number(length)
  return received.subarray(-5).toString('latin1') === '0\r\n\r\n'
}

/** In microseconds, of all threads. Linux counts in hundredths of a second. */
function processorTime(processIds: readonly number[]): number {
  let hundredths = 0
  for (const processId of processIds) {
    const fields = readFileSync(`/proc/${processId}/stat`, 'utf8')
      .replace(/^.*\) /, '')
      .split(' ')
    hundredths += Number(fields[11]) + Number(fields[12])
  }
  return hundredths * 10_000
}

async function startTarget(size: number): Promise<{ readonly address: Address } & AsyncDisposable> {
  const program = fileURLToPath(new URL('http-target.ts', import.meta.url))
  const child = spawn(process.execPath, [program, String(size)], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  return {
    address: { host: '127.0.0.1', port: Number(line.toString()) },
    async [Symbol.asyncDispose]() {
      child.kill()
      await once(child, 'exit')
    },
  }
}

function policy({ host, port }: Address, masks: boolean): string {
  return `apiVersion: firebreak.dev/v1alpha1
kind: ProtectedResource
metadata: {name: bench}
spec:
  type: http
  address: ${host}:${port}
  tls: {mode: disable}
  roles: [{name: agent, credential: {env: {password: BENCH_PASSWORD}}}]
  classification: [{tags: [pii/email], fields: ["$.users.email"]}]
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
    - {name: read, match: {actions: ["http:read"], objects: [/users]}, effect: allow}
    - {name: no-admin, match: {objects: [/admin]}, effect: deny}
    - {name: no-delete, match: {actions: ["http:delete"]}, effect: deny}
${masks ? '    - {name: hide, match: {tags: ["pii/*"]}, effect: mask, mask: {strategy: partial, keepLast: 4}}\n' : ''}`
}
