/** Recordings and audit trails of real pods, at an object store and a service outside of the cluster. */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parse } from 'yaml'
import { CertificateAuthority } from '../../operator/certificates/authority.ts'
import { LogServer } from '../../sidecar/audit/remote/testdata/log-server.ts'
import { newReaderKey } from '../../sidecar/recording/testdata/recordings.ts'
import { eventuallyWith } from '../../test/eventually.ts'
import { ObjectStore } from '../../tools/object-store.ts'
import { chart } from '../chart/helm.ts'
import { attemptCommand } from '../cluster/command.ts'
import { network } from '../cluster/node/network.ts'
import { type AgentPod, untilStopped } from './agent-pod.ts'
import { killContainer } from './container-processes.ts'
import { OpenPsql } from './open-psql.ts'
import { describeWithProduct } from './suite.ts'
import { SupportBot } from './support-bot.ts'

interface Attempt {
  readonly name: string
  readonly attempt?: readonly string[]
  readonly command?: readonly string[]
  readonly says: string
  readonly audited?: string
}

const file = (path: string): string => fileURLToPath(new URL(path, import.meta.url))
const { records: attempts } = parse(readFileSync(file('../../attacks/pods.yaml'), 'utf8')) as {
  records: Attempt[]
}
const script = readFileSync(file('../../attacks/containment/attempt.py'), 'utf8')
const plugin = file('../../cli/kubectl/main.ts')
const auditSecret = 'a secret of the sink and the operator'

describeWithProduct('records of an agent pod', (product) => {
  const stack = new AsyncDisposableStack()
  const home = mkdtempSync(join(tmpdir(), 'firebreak-records-'))
  let supportBot: SupportBot
  let objects: ObjectStore
  let sink: LogServer
  let agent: AgentPod
  const host = network.machine.ipv4
  const kubectl = (...args: string[]): Promise<string> => product().kubectl(...args)
  const eventually = eventuallyWith(() => sink?.lines.slice(-20).join('\n') ?? '', 120)
  const secret = (name: string, fields: Readonly<Record<string, string>>): Promise<string> =>
    kubectl(
      ...['create', 'secret', 'generic', name, '-n', product().namespace],
      ...Object.entries(fields).map(([key, value]) => `--from-literal=${key}=${value}`),
    )
  /** The plugin, as a person with a credential of their own. The sink, which is in this process, goes on meanwhile. */
  const firebreak = async (...words: string[]): Promise<{ status: number | null; out: string }> => {
    const { status, stdout, stderr } = await attemptCommand(process.execPath, [plugin, ...words], {
      PATH: process.env.PATH,
      HOME: home,
      KUBECONFIG: product().cluster.kubeconfig,
      ...objects.credentials,
    })
    return { status, out: stdout + stderr }
  }
  /** Of the session with this text, once it can be found. */
  const sessionWith = async (text: string): Promise<string> => {
    const words = ['sessions', 'search', `"${text}"`, '--key', join(home, 'reader.txt')]
    const found = await eventually(async () => (await firebreak(...words)).out, /[0-9A-Z]{20,}/)
    return /[0-9A-Z]{20,}/.exec(found)?.[0] ?? ''
  }
  const upgrade = async (values: object): Promise<void> => {
    const { namespace, helm } = product()
    await helm.run(['upgrade', 'firebreak', chart, '--namespace', namespace, '--reuse-values'], values)
    const rollout = ['status', 'deployment/firebreak-operator', '-n', namespace, '--timeout=300s']
    await kubectl('rollout', ...rollout)
  }
  /** Finds each of the credentials, and not itself where it stands in a command. */
  const pattern = (): string =>
    [objects.writer.secretAccessKey, objects.writer.accessKeyId, auditSecret]
      .map((text) => `[${text[0]}]${text.slice(1)}`)
      .join('|')
  const lines = (event: string): string =>
    sink.lines.filter((line) => line.includes(`"event":"${event}"`)).join('\n')

  before(async function () {
    this.timeout('20m')
    objects = stack.use(await ObjectStore.start(host))
    const authority = await CertificateAuthority.create('authority of the sink')
    sink = stack.use(await LogServer.start({ host, tls: await authority.server({ name: 'sink' }, [host]) }))
    const reader = await newReaderKey()
    writeFileSync(join(home, 'reader.txt'), reader.identity)
    const { accessKeyId, secretAccessKey } = objects.writer
    const { AWS_ACCESS_KEY_ID: keeper, AWS_SECRET_ACCESS_KEY: keeperSecret } = objects.credentials
    const names = ['recordings-writer', 'recordings-keeper', 'audit-sink']
    await kubectl('delete', 'secret', ...names, '-n', product().namespace, '--ignore-not-found')
    await secret('recordings-writer', { 'access-key': accessKeyId, 'secret-key': secretAccessKey })
    await secret('recordings-keeper', { 'access-key': keeper, 'secret-key': keeperSecret })
    await secret('audit-sink', { secret: auditSecret, 'ca.crt': authority.certificate })
    await upgrade({
      recordings: {
        place: `s3://${objects.bucket}/cluster`,
        endpoint: objects.endpoint,
        region: objects.region,
        secret: { name: 'recordings-writer' },
        keys: [reader.recipient],
        retention: { secret: { name: 'recordings-keeper' } },
      },
      audit: { sinks: [{ target: sink.url, secret: { name: 'audit-sink', ca: 'ca.crt' } }] },
    })
    supportBot = await SupportBot.deploy(product())
    const recording = JSON.stringify({ spec: { recording: { mode: 'full' } } })
    await kubectl(
      'patch',
      'guardrailpolicy/orders-guardrails',
      '-n',
      'agents',
      '--type=merge',
      '-p',
      recording,
    )
    agent = await supportBot.startAgent('agent')
  })
  after(async function () {
    this.timeout('15m')
    await supportBot?.[Symbol.asyncDispose]()
    await upgrade({ recordings: { place: '', retention: { secret: { name: '' } } }, audit: { sinks: [] } })
    await stack.disposeAsync()
    rmSync(home, { recursive: true, force: true })
  })

  it('have a session of psql recorded, verified by the key that the cluster names, and replayed', async () => {
    const { stdout, stderr } = await agent.psql([
      "SELECT name FROM customers WHERE id = 1 -- 'a marked query'",
    ])
    assert.equal(stdout, 'Ada Okafor\n', stderr)
    await eventually(async () => (await firebreak('sessions', 'verify', '--all')).out, /whole, unaltered/)
    const key = ['--key', join(home, 'reader.txt')]
    const replayed = await firebreak('replay', await sessionWith('marked query'), ...key)
    assert.equal(replayed.status, 0, replayed.out)
    assert.match(replayed.out, /Ada Okafor/)
  }).timeout('5m')

  it("have every line of the pod's audit trail at the sink", async () => {
    const [first] = await agent.audited(({ event }) => event === 'audit.start')
    await eventually(() => lines('command'), /a marked query/)
    assert.ok(lines('audit.start').includes(String(first?.source)), 'from the first line on')
  }).timeout('5m')

  for (const [user, uid] of Object.entries({ 'an ordinary user': 1000, root: 0 }))
    describe(`are out of reach of ${user}`, function () {
      this.timeout('5m')
      let pod: AgentPod
      const filled = (text: string): string =>
        [
          ['STORE_PORT', new URL(objects.endpoint).port],
          ['SINK_PORT', new URL(sink.url).port],
          ['STORE', host],
          ['SECRETS', pattern()],
        ].reduce((all, [word = '', value = '']) => all.replaceAll(word, value), text)

      before(async () => {
        pod = await supportBot.startAgent(`agent-${uid}`, { spec: { securityContext: { runAsUser: uid } } })
        await pod.run(['sh', '-c', 'cat > /tmp/attempt.py'], { input: script })
      })

      it('as long as what looks for credentials finds them where they are', async () => {
        const { stdout } = await pod.run(['sh', '-c', `env X='${auditSecret}' env | grep -aE '${pattern()}'`])
        assert.equal(stdout, `X=${auditSecret}\n`)
      })

      for (const { name, attempt, command = [], says, audited } of attempts)
        it(name, async () => {
          const words = attempt ? ['python3', '/tmp/attempt.py', ...attempt] : command
          const { stdout, stderr } = await pod.run(words.map(filled))
          assert.match(stdout + stderr, new RegExp(says, 'm'))
          if (audited === undefined) return
          const refused = async (): Promise<string> => JSON.stringify(await pod.audit())
          await eventually(refused, new RegExp(`egress.refused[^}]*${filled(audited)}`))
        })
    })

  it('are unaltered up to less than a second before the enforcer was killed', async () => {
    const cluster = product().cluster.machinery ?? assert.fail('its nodes are on this machine')
    await using open = await OpenPsql.start(agent)
    assert.equal(await open.ask("SELECT 'before the kill'"), 'before the kill')
    // a second is promised on a machine that has one to give
    await delay(3_000)
    await killContainer(cluster, 'agents', 'agent', 'firebreak-enforcer')
    await sessionWith('before the kill')
    const { out } = await firebreak('sessions', 'verify', '--all')
    assert.match(out, /no end/)
    assert.doesNotMatch(out, /: altered/)
  }).timeout('8m')

  it('are complete when a pod is deleted', async () => {
    const pod = await supportBot.startAgent('deleted', {
      container: { command: untilStopped },
      spec: { terminationGracePeriodSeconds: 60 },
    })
    await using psql = await OpenPsql.start(pod)
    assert.equal(await psql.ask("SELECT 'before the end'"), 'before the end')
    const [{ source } = {}] = await pod.audited(({ event }) => event === 'audit.start')
    await kubectl('delete', 'pod', 'deleted', '-n', 'agents')
    await eventually(() => lines('audit.end'), new RegExp(String(source)))
    const { out } = await firebreak('sessions', 'verify', await sessionWith('before the end'))
    assert.match(out, /whole/)
  }).timeout('8m')
})
