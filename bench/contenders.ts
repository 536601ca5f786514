/** What is compared with the direct connection. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Address } from '@firebreak/sidecar'
import { freePort } from '../tools/postgres.ts'

export interface Contender {
  readonly name: string
  readonly address: Address
  /** Is told how many transactions it was sent. */
  readonly sent?: (transactions: number) => void
}

export async function startPgbouncer(server: Address): Promise<Contender & AsyncDisposable> {
  const directory = mkdtempSync(join(tmpdir(), 'firebreak-bench-'))
  chmodSync(directory, 0o755)
  const port = await freePort()
  writeFileSync(join(directory, 'users.txt'), '"postgres" ""\n', { mode: 0o644 })
  writeFileSync(
    join(directory, 'pgbouncer.ini'),
    `[databases]
* = host=${server.host} port=${server.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = trust
auth_file = ${directory}/users.txt
pool_mode = session
default_pool_size = 300
max_client_conn = 400
ignore_startup_parameters = extra_float_digits
`,
    { mode: 0o644 },
  )
  const asUser = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {}
  const child = spawn('pgbouncer', ['-q', join(directory, 'pgbouncer.ini')], { stdio: 'ignore', ...asUser })
  child.on('error', (error) => {
    console.error(
      `pgbouncer can't be started (${error.message}); it is the peer of this comparison: install it with your package manager`,
    )
    process.exit(1)
  })
  await new Promise((resolve) => setTimeout(resolve, 500))
  return {
    name: 'pgbouncer',
    address: { host: '127.0.0.1', port },
    async [Symbol.asyncDispose]() {
      child.kill()
      await once(child, 'exit')
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

export interface Firebreak extends Contender, AsyncDisposable {
  readonly processId: number
  auditLines(): { readonly commands: number; readonly gaps: number }
  commandsSent(): number
}

/** What a policy asks for besides rules. */
const variants = {
  firebreak: '',
  recorded: '  recording: {mode: full}',
  watched: `  signals: [{kind: repeatedApprovalRequests}, {kind: probing}, {kind: tampering}, {kind: egress}, {kind: maskingExceptions},
    {kind: idleThenBurst}, {kind: firstSeen}, {kind: volumeSpike}, {kind: rowHarvest, threshold: 100}, {kind: tokenMisuse},
    {kind: childActsAsParent}, {kind: offHours, hours: {timeZone: UTC, from: "00:00", to: "23:59"}}]`,
} as const

export async function startFirebreak(
  server: Address,
  variant: keyof typeof variants = 'firebreak',
): Promise<Firebreak> {
  return await startGateway(variant, policy(server, variants[variant]))
}

/** @param manifests of one resource `bench`. */
export async function startGateway(name: string, manifests: string): Promise<Firebreak> {
  const directory = mkdtempSync(join(tmpdir(), 'firebreak-bench-'))
  const port = await freePort()
  const audit = join(directory, 'audit.jsonl')
  writeFileSync(join(directory, 'firebreak.yaml'), manifests)
  const main = fileURLToPath(new URL('../cli/main.ts', import.meta.url))
  const child = spawn(
    process.execPath,
    [
      // as in the first line of the program
      '--max-semi-space-size=2',
      '--liftoff-only',
      main,
      'run',
      '--config',
      directory,
      '--listen',
      `bench=127.0.0.1:${port}`,
      '--audit',
      audit,
    ],
    {
      stdio: ['ignore', 'inherit', 'pipe'],
      env: { ...process.env, BENCH_PASSWORD: 'none' },
    },
  )
  let messages = ''
  for await (const chunk of child.stderr) {
    messages += String(chunk)
    if (messages.includes('guarding')) break
  }
  if (!messages.includes('guarding')) throw new Error(`the gateway did not start:\n${messages}`)
  let sent = 0
  return {
    name,
    address: { host: '127.0.0.1', port },
    processId: child.pid ?? 0,
    sent: (transactions) => {
      sent += transactions
    },
    commandsSent: () => sent,
    auditLines() {
      const commands = readFileSync(audit, 'latin1')
        .split('\n')
        .filter((line) => line.includes('"event":"command"')).length
      return { commands, gaps: Math.max(0, sent - commands) }
    },
    async [Symbol.asyncDispose]() {
      child.kill()
      if (child.exitCode === null) await once(child, 'exit')
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

function policy({ host, port }: Address, more: string): string {
  return `apiVersion: firebreak.dev/v1alpha1
kind: ProtectedResource
metadata: {name: bench}
spec:
  type: postgresql
  address: ${host}:${port}
  database: postgres
  tls: {mode: disable}
  roles: [{name: postgres, credential: {env: {password: BENCH_PASSWORD}}}]
  classification: [{tags: [pii/email], columns: [public.bulk.email]}]
---
apiVersion: firebreak.dev/v1alpha1
kind: AgentIdentity
metadata: {name: bench}
spec:
  authentication: {loopback: {}}
  access: [{resource: bench, roles: [postgres]}]
---
apiVersion: firebreak.dev/v1alpha1
kind: GuardrailPolicy
metadata: {name: bench}
spec:
  rules:
    - {name: read, match: {actions: ["sql:select"], objects: ["public.*"]}, effect: allow}
    - {name: no-drop, match: {actions: ["sql:drop", "sql:truncate"]}, effect: deny}
    - {name: no-unrestricted-writes, match: {actions: ["sql:update", "sql:delete"], condition: "!command.sql.restricted"}, effect: deny}
    - {name: hide, match: {tags: ["pii/*"]}, effect: mask, mask: {strategy: partial, keepLast: 4}}
${more}
`
}
