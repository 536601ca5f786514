/** Recordings and audit trails of a real enforcer, at the places that a real operator names: an object store and an HTTP service. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createHmac } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { verifyTrail } from '@firebreak/sidecar/audit/verify.ts'
import type { ControlPlane } from '../../e2e/index.ts'
import { LogServer } from '../../sidecar/audit/remote/testdata/log-server.ts'
import { newReaderKey } from '../../sidecar/recording/testdata/recordings.ts'
import { resourceOf, spansWith } from '../../sidecar/traces/testdata/exported.ts'
import { type ApiServer, startApiServer } from '../../test/api-server.ts'
import { selfSigned } from '../../test/certificates.ts'
import { eventuallyWith } from '../../test/eventually.ts'
import { Shop } from '../../test/shop.ts'
import { shopInCluster } from '../../test/shop-in-cluster.ts'
import { SidecarProcess } from '../../test/sidecar-process.ts'
import { ObjectStore } from '../../tools/object-store.ts'
import { ReplicaProcess } from '../testdata/replica-process.ts'
import type { RecordTargets } from './records.ts'

const plugin = fileURLToPath(new URL('../../cli/kubectl/main.ts', import.meta.url))

interface ExportedLogs {
  readonly resourceLogs: readonly {
    readonly scopeLogs: readonly {
      readonly logRecords: readonly { readonly body: { readonly stringValue: string } }[]
    }[]
  }[]
}

const linesOf = ({ resourceLogs }: ExportedLogs): string[] =>
  resourceLogs.flatMap(({ scopeLogs }) =>
    scopeLogs.flatMap(({ logRecords }) => logRecords.map(({ body }) => body.stringValue)),
  )

function policy(retention: string, more = ''): string {
  return `apiVersion: firebreak.dev/v1alpha1
kind: GuardrailPolicy
metadata: {name: guard, namespace: agents}
spec:
  rules: [{name: all, match: {actions: ["sql:*"]}, effect: allow}]
  recording: {mode: full, retention: ${retention}${more}}
`
}

describe('records of pods', function () {
  this.timeout('8m')
  const stack = new AsyncDisposableStack()
  const directory = mkdtempSync(join(tmpdir(), 'firebreak-records-'))
  const records = join(directory, 'records.json')
  let api: ApiServer
  let cluster: ControlPlane
  let shop: Shop
  let objects: ObjectStore
  let sink: LogServer
  let collector: LogServer
  let logs: LogServer
  let replica: ReplicaProcess
  let sidecar: SidecarProcess
  let reader: Awaited<ReturnType<typeof newReaderKey>>
  let kubeconfig: string
  let uid = ''
  let token = ''

  const apply = async (input: string): Promise<void> => {
    await cluster.kubectl.run(['apply', '-f', '-'], { input })
  }
  const eventually = eventuallyWith(() => `${replica.log}\n${sidecar?.log}`, 60)
  const condition = (what: string, type: string): Promise<string> => {
    const path = `{.status.conditions[?(@.type=="${type}")]['status','reason','message']}`
    return cluster.kubectl.run(['get', ...what.split(' '), '-n', 'agents', '-o', `jsonpath=${path}`])
  }
  const run = async (...statements: string[]): Promise<string> => {
    const address = { host: '127.0.0.1', port: sidecar.ports.get('shop') ?? 0 }
    try {
      const client = await shop.connect(address, 'shop')
      for (const statement of statements) await client.query(statement)
      await client.end()
      return 'done'
    } catch (error) {
      return (error as Error).message
    }
  }
  const targets = (secret: string, unmaskedRecipients: readonly string[] = []): RecordTargets => {
    const { host, port, user, password } = shop.postgres
    const { bucket, endpoint, region, ca, writer, credentials } = objects
    const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = credentials
    const place = { kind: 's3', bucket, endpoint, region, ca, prefix: 'cluster/' } as const
    return {
      recordings: {
        target: { ...place, credentials: writer },
        recipients: [reader.recipient],
        unmaskedRecipients,
      },
      retention: { ...place, credentials: { accessKeyId, secretAccessKey } },
      audit: [
        { kind: 'http', url: sink.url, secret, format: 'lines' },
        { kind: 'otlp', url: logs.url, headers: { authorization: 'Bearer of the logs' } },
        { kind: 'postgresql', url: `postgresql://${user}@${host}:${port}/audit`, password },
      ],
      traces: { url: collector.url, headers: { authorization: 'Bearer of the collector' }, share: 1 },
    }
  }
  const startReplica = async (controlPort: number, file?: string): Promise<ReplicaProcess> => {
    const settings = { kubeconfig, user: 'firebreak-operator', replica: 'one', controlPort }
    return stack.use(
      await ReplicaProcess.start({ ...settings, ...(file !== undefined && { records: file }) }),
    )
  }
  const startSidecar = async (): Promise<SidecarProcess> =>
    stack.use(
      await SidecarProcess.start({
        control: `127.0.0.1:${replica.controlPort}`,
        ca: replica.controlCa,
        token,
        pod: { namespace: 'agents', name: 'bot-1', uid },
        listen: ['shop'],
      }),
    )
  /** The plugin, as a person with the keeper's rights in the object store. */
  const firebreak = (...words: string[]): { status: number | null; out: string } => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [plugin, ...words], {
      encoding: 'utf8',
      env: {
        PATH: process.env.PATH,
        HOME: directory,
        KUBECONFIG: kubeconfig,
        NODE_EXTRA_CA_CERTS: join(directory, 'ca.pem'),
        ...objects.credentials,
      },
    })
    return { status, out: stdout + stderr }
  }

  before(async function () {
    this.timeout('45m')
    api = stack.use(await startApiServer(['namespace', 'garbagecollector']))
    cluster = api.cluster
    shop = stack.use(await Shop.start())
    await shop.create('shop')
    const tls = selfSigned('localhost')
    objects = stack.use(await ObjectStore.start('127.0.0.1', tls))
    writeFileSync(join(directory, 'ca.pem'), tls.certificate)
    sink = stack.use(await LogServer.start())
    collector = stack.use(await LogServer.start())
    logs = stack.use(await LogServer.start())
    logs.answerBody = '{}'
    await shop.admin('postgres', 'CREATE DATABASE audit')
    collector.answerBody = '{}'
    reader = await newReaderKey()
    writeFileSync(join(directory, 'reader.txt'), reader.identity)
    await cluster.kubectl.run(['create', 'namespace', 'firebreak-system'])
    kubeconfig = (await cluster.user({ name: 'firebreak-operator', groups: ['system:masters'] })).kubeconfig
    replica = await startReplica(0)
    const { host, port, password } = shop.postgres
    await apply(shopInCluster(`${host}:${port}`, password) + policy('90d'))
    await eventually(
      () => cluster.kubectl.run(['get', 'namespace', 'agents', '-o', 'jsonpath={.metadata.labels}']),
      /firebreak.dev\/agents/,
    )
    const spec = { serviceAccountName: 'bot', containers: [{ name: 'agent', image: 'x' }] }
    const metadata = { name: 'bot-1', namespace: 'agents', labels: { app: 'support-bot' } }
    await apply(JSON.stringify({ apiVersion: 'v1', kind: 'Pod', metadata, spec }))
    const path = 'jsonpath={.metadata.uid}'
    uid = await cluster.kubectl.run(['get', 'pod', 'bot-1', '-n', 'agents', '-o', path])
    const bound = ['--bound-object-kind=Pod', '--bound-object-name=bot-1', `--bound-object-uid=${uid}`]
    const asked = ['create', 'token', 'bot', '-n', 'agents', '--audience=firebreak-control', ...bound]
    token = (await cluster.kubectl.run(asked)).trim()
    sidecar = await startSidecar()
    await eventually(() => sidecar.log, /is in force/)
  })
  after(async () => {
    await stack.disposeAsync()
    rmSync(directory, { recursive: true, force: true })
  })

  it('have no place at first: the policy says so, and sessions that it wants recorded are refused', async () => {
    await eventually(
      () => condition('guardrailpolicy guard', 'RecordingPossible'),
      /^False NoPlace .*recordings\.place.*are refused$/,
    )
    await eventually(() => condition('guardrailpolicy guard', 'Ready'), /^False NoPlace/)
    assert.match(await run('SELECT 1'), /no place for recordings is configured/)
  })

  it('go to the place that the operator names from then on, without a restart of the enforcer', async () => {
    const controlPort = replica.controlPort
    await replica.end()
    writeFileSync(records, JSON.stringify(targets('the first secret of both sides')))
    replica = await startReplica(controlPort, records)
    await eventually(() => run('SELECT 42 AS answer', 'SELECT email FROM customers'), /^done$/)
    await eventually(() => condition('guardrailpolicy guard', 'RecordingPossible'), /^True/)
    await eventually(
      () => firebreak('sessions', 'verify', '--all', '--operator-namespace', 'firebreak-system').out,
      /: whole, unaltered/,
    )
  })

  it('are let through by the generated NetworkPolicies, at the addresses of sinks and collector, and at the port of a store that has a name', async () => {
    const rules = await cluster.kubectl.run([
      ...['get', 'networkpolicy', 'firebreak-agent-support-bot', '-n', 'agents'],
      ...['-o', 'jsonpath={range .spec.egress[*]}{.to[*].ipBlock.cidr} {.ports[*].port}{"\\n"}{end}'],
    ])
    assert.ok(rules.split('\n').includes(`0.0.0.0/0 ::/0 ${new URL(objects.endpoint).port}`), rules)
    for (const url of [sink.url, logs.url, collector.url])
      assert.ok(rules.split('\n').includes(`127.0.0.1/32 ${new URL(url).port}`), rules)
  })

  it('are found, read and verified by whom they are for, with what the cluster says of the place', async () => {
    const listed = firebreak('sessions', 'list', '--key', join(directory, 'reader.txt'), '--text', '42')
    assert.equal(listed.status, 0, listed.out)
    const [id = ''] = /[0-9A-Z]{20,}/.exec(listed.out) ?? []
    const replayed = firebreak('replay', id, '--key', join(directory, 'reader.txt'))
    assert.equal(replayed.status, 0, replayed.out)
    assert.match(replayed.out, /SELECT 42 AS answer/)
    const other = firebreak('sessions', 'verify', id, `--signer=${'A'.repeat(43)}`)
    assert.match(other.out, /altered.*not trusted/)
  })

  it('keep their place open while a policy changes', async () => {
    const opened = (): number => sidecar.log.split('sessions are recorded in').length
    const before = opened()
    const rule = policy('30d').replace('name: all', 'name: everything')
    await apply(rule)
    await eventually(
      () => sink.lines.filter((line) => line.includes('configuration.applied')).join('\n'),
      /applied/,
    )
    await eventually(() => condition('agentidentity support-bot', 'Contained'), /^True/)
    assert.equal(await run('SELECT 1'), 'done')
    assert.equal(opened(), before)
  })

  it('have spans beside them, which say of which pod they are', async () => {
    await run("SELECT 'traced'")
    const spans = await spansWith(
      collector,
      (all) => all.filter(({ name }) => name === 'command SELECT').length > 1,
    )
    assert.ok(spans.some(({ name }) => name === 'session agents/shop'))
    const resource = resourceOf(collector)
    assert.deepEqual(
      ['k8s.namespace.name', 'k8s.pod.name', 'k8s.pod.uid'].map((name) => resource[name]),
      ['agents', 'bot-1', uid],
    )
    assert.equal(collector.requests[0]?.headers.authorization, 'Bearer of the collector')
    assert.ok(!JSON.stringify(spans).includes('traced'))
  })

  it('are written with credentials that are in memory alone', () => {
    const seen = [
      readFileSync(`/proc/${sidecar.pid}/environ`, 'utf8'),
      readFileSync(`/proc/${sidecar.pid}/cmdline`, 'utf8'),
      ...readdirSync(sidecar.runDirectory, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1')),
      sidecar.log,
      sidecar.audit,
    ].join('\n')
    assert.ok(seen.includes('recording.started'), 'the audit trail is among what is looked through')
    const others = [
      'the first secret of both sides',
      'Bearer of the collector',
      'Bearer of the logs',
      'PRIVATE KEY',
    ]
    for (const secret of [objects.writer.secretAccessKey, ...others])
      assert.ok(!seen.includes(secret), secret)
    assert.ok(!replica.log.includes(objects.writer.secretAccessKey))
  })

  it('go on with another credential when it is changed, also in a session that has begun', async () => {
    const second = 'the second secret of both sides'
    writeFileSync(records, JSON.stringify(targets(second)))
    const signed = (): string => {
      const last = sink.requests.at(-1)
      if (!last) return 'nothing came'
      const timestamp = String(last.headers['firebreak-timestamp'])
      const expected = createHmac('sha256', second).update(`${timestamp}.${last.body}`).digest('hex')
      return last.headers['firebreak-signature'] === `sha256=${expected}` ? 'by the second' : 'by another'
    }
    await eventually(async () => `${await run('SELECT 1')} ${signed()}`, /^done by the second$/)
    assert.ok(!sidecar.log.includes(second))
  })

  it('hold what masks hid where the operator names who may see it, and sessions are refused where nobody is named', async () => {
    await apply(policy('30d', ', unmasked: true'))
    await eventually(
      () => condition('guardrailpolicy guard', 'RecordingPossible'),
      /^False NobodyForUnmasked .*recordings\.unmaskedKeys.*are refused$/,
    )
    await eventually(() => run('SELECT 1'), /nobody is named who may see it/)
    const controlPort = replica.controlPort
    const { recipient } = await newReaderKey()
    await replica.end()
    writeFileSync(records, JSON.stringify(targets('the second secret of both sides', [recipient])))
    replica = await startReplica(controlPort, records)
    await eventually(() => condition('guardrailpolicy guard', 'RecordingPossible'), /^True/)
    await eventually(() => run('SELECT 1'), /^done$/)
    await eventually(async () => sink.lines.join('\n'), new RegExp(`"unmasked":\\["${recipient}"\\]`))
    await apply(policy('30d'))
    await eventually(async () => `${await run('SELECT 1')} ${lastStarted()}`, /^done (?!.*unmasked)/)
  })

  const lastStarted = (): string => sink.lines.findLast((line) => line.includes('recording.started')) ?? ''

  it('are complete when the pod is stopped: the last lines and the end of each recording', async () => {
    const address = { host: '127.0.0.1', port: sidecar.ports.get('shop') ?? 0 }
    const client = await shop.connect(address, 'shop')
    await client.query("SELECT 'the last command'")
    assert.equal(await sidecar.end(), 0, sidecar.log)
    assert.equal(sidecar.audit.trimEnd().split('\n').at(-1), sink.lines.at(-1), sidecar.log)
    assert.match(sink.lines.at(-1) ?? '', /"event":"audit.end"/)
    const { status, out } = firebreak('sessions', 'verify', '--all')
    assert.equal(status, 0, out)
    assert.doesNotMatch(out, /no end/)
  })

  it('keep what was recorded and sent when it is killed', async () => {
    sidecar = await startSidecar()
    await eventually(() => run("SELECT 'begun'"), /^done$/)
    const address = { host: '127.0.0.1', port: sidecar.ports.get('shop') ?? 0 }
    const client = await shop.connect(address, 'shop')
    await client.query("SELECT 'what is kept'")
    // long before the session ends
    const search = ['sessions', 'search', '"what is kept"', '--key', join(directory, 'reader.txt')]
    await eventually(() => firebreak(...search).out, /SELECT 'what is kept'/, 180)
    const ofCommand = /"event":"command".*what is kept/
    await eventually(async () => String(Object.values(await sinks()).every(has(ofCommand))), /true/)
    await sidecar.end('SIGKILL')
    const { out } = firebreak('sessions', 'verify', '--all')
    assert.match(out, /no end: .*unaltered/)
    assert.doesNotMatch(out, /: altered/)
    assert.match(firebreak(...search).out, /what is kept/)
  })

  const has = (what: RegExp) => (lines: readonly string[]) => lines.some((line) => what.test(line))
  /** What each has received. */
  const sinks = async (): Promise<Readonly<Record<string, readonly string[]>>> => {
    const rows = await shop.admin('audit', 'SELECT line FROM firebreak_audit ORDER BY source, seq')
    return {
      http: sink.lines,
      otlp: logs.requests.flatMap(({ body }) => linesOf(JSON.parse(body) as ExportedLogs)),
      postgresql: rows.rows.map(({ line }) => String(line)),
    }
  }

  it('leave the whole audit trail at each kind of sink, from its first line on', async () => {
    const [start = ''] = sidecar.audit.split('\n')
    const { source } = JSON.parse(start) as { source: string }
    for (const [name, received] of Object.entries(await sinks())) {
      const own = received.filter((line) => line.includes(`"source":"${source}"`))
      const stream = Readable.from([Buffer.from(own.map((line) => `${line}\n`).join(''))])
      const { problems, chains } = await verifyTrail([{ name, stream }])
      assert.deepEqual(problems, [])
      assert.equal(chains.length, 1)
      assert.equal(own[0], start)
      assert.match(own.join('\n'), /"event":"command".*what is kept/)
    }
    assert.equal(logs.requests[0]?.headers.authorization, 'Bearer of the logs')
  })

  it('are deleted by the leading replica when somebody asks for it, with a line in its own trail', async () => {
    const { out } = firebreak('sessions', 'list', '--key', join(directory, 'reader.txt'), '--text', '42')
    const [id = ''] = /[0-9A-Z]{20,}/.exec(out) ?? []
    assert.equal(firebreak('sessions', 'delete', id, '--reason', 'case 7').status, 0)
    const controlPort = replica.controlPort
    await replica.end()
    replica = await startReplica(controlPort, records)
    await eventually(() => firebreak('sessions', 'verify', id).out, /not there/)
    await eventually(
      () => sink.lines.filter((line) => line.includes('recording.deleted')).join('\n'),
      new RegExp(`"session":"${id}".*case 7`),
    )
  })
})
