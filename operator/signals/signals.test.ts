/** What people see and do, with kubectl, when agents' sidecars raise signals. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createClient } from '@connectrpc/connect'
import { Signals } from '@firebreak/xds'
import type pg from 'pg'
import { parse } from 'yaml'
import { controlTransport } from '../../test/approval-client.ts'
import { ApprovalCluster, namespace } from '../../test/approval-cluster.ts'
import { NotificationHook } from '../../test/notification-hook.ts'
import { attacksDirectory } from '../../test/shop.ts'
import type { SidecarProcess } from '../../test/sidecar-process.ts'

const trick = "COPY (SELECT 1) TO PROGRAM 'id'"

const watch = (signals: string): string => `apiVersion: firebreak.dev/v1alpha1
kind: GuardrailPolicy
metadata: {name: watch, namespace: agents}
spec:
  signals: ${signals}
`

interface Told extends Readonly<Record<string, unknown>> {
  readonly name: string
  readonly raw?: string
}

const { honest, taken, refused } = parse(
  readFileSync(new URL('cluster-signals.yaml', attacksDirectory), 'utf8'),
) as { honest: object; taken: readonly Told[]; refused: readonly Told[] }

describe('signals in a cluster', function () {
  this.timeout('5m')
  let hook: NotificationHook
  let cluster: ApprovalCluster
  const sidecars: SidecarProcess[] = []

  before(async function () {
    this.timeout('45m')
    hook = await NotificationHook.start()
    cluster = await ApprovalCluster.start(2, { notify: { url: hook.url, secret: hook.secret } })
    await cluster.apply(watch('[{kind: tampering, action: suspend, groups: [dba]}]'))
    sidecars.push(await cluster.startPod('bot-1'), await cluster.startPod('bot-2'))
    // the policy is in the configuration that a sidecar starts with, or comes a moment later
    for (const sidecar of sidecars)
      await cluster.eventually(async () => {
        const client = await cluster.connect(sidecar)
        await client.query('SELECT 1').finally(() => client.end())
        return 'connected'
      }, /connected/)
  })
  after(async () => {
    await cluster?.[Symbol.asyncDispose]()
    await hook?.[Symbol.asyncDispose]()
  })

  const connect = async (index: number): Promise<pg.Client> => {
    const sidecar = sidecars[index]
    assert.ok(sidecar)
    return await cluster.connect(sidecar)
  }
  /** What comes of connecting and asking for something. */
  const tried = async (index: number): Promise<string> => {
    try {
      const client = await connect(index)
      await client.query('SELECT 1').finally(() => client.end().catch(() => {}))
      return 'served'
    } catch (error) {
      return error instanceof Error ? error.message : String(error)
    }
  }
  const suspension = async (): Promise<string> =>
    (await cluster.requests())
      .filter(
        ({ spec, status }) => spec.kind === 'resumption' && !(spec.votes && status?.state !== 'Pending'),
      )
      .map(({ metadata }) => metadata.name)
      .join(' ')
  const eventsOf = async (object: string): Promise<string> =>
    (await cluster.kubectl('events', '-n', namespace, '--for', object)).replaceAll('\n', ' ')

  it('an agent that tampers is suspended in all of its pods, and everybody who is to know hears of it', async () => {
    const others = await connect(1)
    let ended = ''
    others.on('error', (error) => {
      ended += error.message
    })
    const client = await connect(0)
    await client.query(trick).catch(() => {})
    await cluster.eventually(() => tried(0), /agents\/support-bot is suspended by signal tampering/)
    await cluster.eventually(() => tried(1), /agents\/support-bot is suspended by signal tampering/)
    await cluster.eventually(() => ended, /is suspended by signal tampering/)
    const name = await suspension()
    assert.match(name, /^support-bot-[a-z0-9]{5}$/, 'one request, however many pods')
    const said = await tried(1)
    assert.ok(said.includes(`approvalrequest/${name}`), said)
    for (const object of ['agentidentity/support-bot', 'pod/bot-1'])
      await cluster.eventually(
        () => eventsOf(object),
        /Warning +SignalTampering .*agents\/support-bot sent a command to agents\/shop that runs a program on the server/,
      )
    assert.doesNotMatch(await eventsOf('pod/bot-2'), /SignalTampering/)
    await cluster.eventually(
      () => JSON.stringify(hook.notified.filter(({ event }) => event === 'signal')),
      /tampering/,
    )
    const told = hook.notified.find(({ event }) => event === 'signal')?.signal
    assert.deepEqual(
      [told?.kind, told?.severity, told?.action, told?.identity, told?.pod],
      ['tampering', 'critical', 'suspend', 'agents/support-bot', 'agents/bot-1'],
    )
    assert.equal(hook.unsigned, 0)
  })

  it('a new pod of a suspended agent is suspended too, whatever policies say by then', async () => {
    await cluster.kubectl('delete', 'guardrailpolicy', 'watch', '-n', namespace)
    sidecars.push(await cluster.startPod('bot-3'))
    await cluster.eventually(() => tried(2), /is suspended by signal tampering/)
    assert.match(await tried(0), /is suspended by signal tampering/)
  })

  it('a person of the group resumes it in all pods, and nobody else does', async () => {
    const name = await suspension()
    for (const user of ['carol', 'support-bot']) {
      const { status, said } = await cluster.decide(user, name, 'Approved')
      assert.notEqual(status, 0, said)
    }
    const { status: denied } = await cluster.decide('alice', name, 'Denied')
    assert.notEqual(denied, 0, "it can't be denied: leave it")
    assert.match(await tried(0), /is suspended/)
    const { status, said } = await cluster.decide('alice', name, 'Approved', 'a test of ours')
    assert.equal(status, 0, said)
    for (const index of [0, 1, 2]) await cluster.eventually(() => tried(index), /^served$/)
    assert.equal(await suspension(), '')
  })

  it('what holds for a while stays over the operator: a suspension that it can not be told of is told later', async () => {
    const [sidecar = assert.fail()] = sidecars
    await cluster.putInForce(watch('[{kind: tampering, action: suspend, groups: [dba]}]'), sidecar)
    for (const replica of cluster.replicas) await cluster.killReplica(replica)
    const client = await connect(0)
    client.on('error', () => {})
    await client.query(trick).catch(() => {})
    await cluster.eventually(() => tried(0), /is suspended by signal tampering/)
    await cluster.startReplica('replica-9', {})
    await cluster.eventually(() => tried(1), /is suspended by signal tampering/, 90)
    const { said } = await cluster.decide('alice', await suspension(), 'Approved')
    assert.match(said, /patched/)
    for (const index of [0, 1]) await cluster.eventually(() => tried(index), /^served$/)
  })

  describe('what a sidecar says', () => {
    let token: string | undefined
    const tell = async (signal: unknown): Promise<string> => {
      const transport = controlTransport(cluster.controlPort, cluster.controlCa)
      token ??= await cluster.tokenOf('bot-1')
      const headers = { authorization: `Bearer ${token}` }
      const message = Buffer.from(typeof signal === 'string' ? signal : JSON.stringify(signal))
      return await createClient(Signals, transport)
        .tell({ signal: message }, { headers })
        .then(
          () => 'taken',
          (error: Error) => error.message,
        )
    }
    it('is taken about its agent, and those that act for it', async () => {
      for (const { name, ...signal } of taken)
        assert.equal(await tell({ ...honest, ...signal }), 'taken', name)
      await cluster.eventually(
        () => eventsOf('agentidentity/helper'),
        /SignalProbing .*It is told by the test/,
      )
    })

    for (const { name, raw, ...signal } of refused)
      it(`is refused: ${name}`, async () => {
        const told = JSON.stringify({ ...honest, ...signal }).replace(/\{(\d+)\}/, (_, length: string) =>
          'x'.repeat(Number(length)),
        )
        assert.match(await tell(raw ?? told), /permission_denied/)
      })

    it('can not draw on a terminal, and is no more than so many', async () => {
      assert.equal(await tell({ ...honest, explanation: 'before \u001b[2J\u202e after' }), 'taken')
      await cluster.eventually(() => eventsOf('pod/bot-1'), /before {2}\[2J {1,2}after/)
      const answers = await Promise.all(Array.from({ length: 130 }, () => tell(honest)))
      const [no = ''] = answers.filter((answer) => answer !== 'taken')
      assert.match(no, /resource_exhausted.*120 signals within a minute/)
    })
  })
})
