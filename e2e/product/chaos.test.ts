/** What happens to an agent while something breaks: nothing gets around, nothing is lost, and it goes on by itself. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { layout } from '../../operator/injection/layout.ts'
import { eventuallyWith } from '../../test/eventually.ts'
import type { Cluster } from '../cluster/cluster.ts'
import type { AgentPod } from './agent-pod.ts'
import { hasMemoryEatenUp, killContainer, killSandbox } from './container-processes.ts'
import { describeWithProduct } from './suite.ts'
import { SupportBot } from './support-bot.ts'

const script = readFileSync(new URL('attempts.py', import.meta.url), 'utf8')

describeWithProduct('while something breaks, an agent', (product) => {
  let supportBot: SupportBot
  let agent: AgentPod
  let command: readonly string[]
  const audited = new Set<string>()
  const stop = new AbortController()
  let collecting: Promise<void> | undefined
  const eventually = eventuallyWith(() => '', 180)
  const kubectl = (...args: string[]): Promise<string> => product().kubectl(...args)
  const operators = async (): Promise<string[]> => {
    const selector = [
      '-l',
      'app.kubernetes.io/name=firebreak-operator',
      '-o',
      'jsonpath={.items[*].metadata.name}',
    ]
    return (await kubectl('get', 'pods', '-n', product().namespace, ...selector)).split(' ')
  }

  interface Fault {
    readonly name: string
    /** Breaks something, and mends it if it doesn't mend itself. */
    readonly happens: (cluster: Cluster) => Promise<void>
    /** The sidecar's container that is another one afterwards. */
    readonly restarts?: string
  }

  const { enforcerContainer, envoyContainer } = layout
  const faults: readonly Fault[] = [
    {
      name: 'a replica of the operator is deleted',
      happens: async () => {
        const [first = ''] = await operators()
        await kubectl('delete', 'pod', first, '-n', product().namespace)
      },
    },
    {
      name: 'all replicas of the operator are killed',
      happens: async (cluster) => {
        // the one that was deleted has to have its successor
        await kubectl('rollout', 'status', 'deployment/firebreak-operator', '-n', product().namespace)
        for (const name of await operators())
          await killContainer(cluster, product().namespace, name, 'operator')
        await delay(2_000)
      },
    },
    {
      name: 'the API server is killed and started again',
      happens: async ({ apiServer, ready, remember }) => {
        await apiServer.kill()
        await delay(3_000)
        apiServer.start()
        remember()
        await ready()
      },
    },
    {
      name: 'etcd does not answer for a while',
      happens: async ({ etcd }) => {
        etcd.signal('SIGSTOP')
        await delay(6_000)
        etcd.signal('SIGCONT')
      },
    },
    {
      name: 'Envoy is killed',
      happens: (cluster) => killContainer(cluster, 'agents', 'agent', envoyContainer),
      restarts: envoyContainer,
    },
    {
      name: 'the enforcer is killed',
      happens: (cluster) => killContainer(cluster, 'agents', 'agent', enforcerContainer),
      restarts: enforcerContainer,
    },
    {
      name: 'the enforcer has no memory left',
      happens: (cluster) => hasMemoryEatenUp(cluster, 'agents', 'agent', enforcerContainer),
      restarts: enforcerContainer,
    },
  ]

  before(async function () {
    this.timeout('15m')
    // only a cluster of this machine can be broken like that
    if (!product().cluster.machinery) this.skip()
    supportBot = await SupportBot.deploy(product())
    const { pod, service } = await supportBot.databaseAddresses()
    command = ['python3', '-c', script, ...pod, ...service]
    agent = await supportBot.startAgent('agent', { container: { command } })
    collecting = collectAudit(stop.signal)
    await eventually(said('answered'), /\d/)
  })
  after(async function () {
    this.timeout('10m')
    stop.abort()
    await collecting
    await supportBot?.[Symbol.asyncDispose]()
  })

  /** @returns what the agent's lines of this kind say, from one of them on. */
  function said(kind: string, from = 0): () => Promise<string> {
    return async () =>
      (await kubectl('logs', 'agent', '-n', 'agents', '-c', 'agent'))
        .split('\n')
        .filter((line) => line.startsWith(`${kind} `))
        .slice(from)
        .map((line) => line.slice(kind.length + 1))
        .join('\n')
  }

  const restarts = (container: string): Promise<string> => {
    const count = `{.status.initContainerStatuses[?(@.name=="${container}")].restartCount}`
    return kubectl('get', 'pod', 'agent', '-n', 'agents', '-o', `jsonpath=${count}`)
  }

  for (const { name, happens, restarts: restarted } of faults)
    it(`is held and goes on: ${name}`, async () => {
      const cluster = product().cluster.machinery
      assert.ok(cluster)
      const before = restarted && (await restarts(restarted))
      const tried = (await said('tried')()).split('\n').length
      await happens(cluster)
      if (restarted) await eventually(() => restarts(restarted), new RegExp(`^(?!${before}$)\\d`))
      const answered = (await said('answered')()).split('\n').length
      const from = performance.now()
      await eventually(said('answered', answered), /(\d+\n){2}/)
      console.log(`      answers again after ${((performance.now() - from) / 1000).toFixed(1)} s`)
      const markers = (await said('answered')()).split('\n')
      const missing = (): string[] => markers.filter((marker) => !audited.has(marker))
      // docs/audit.md: SIGKILL takes at most the last 10 ms of lines, and a query takes longer
      const mayBeLost = restarted === enforcerContainer ? 1 : 0
      for (let patience = 120; missing().length > mayBeLost && patience > 0; patience--) await delay(500)
      assert.ok(
        missing().length <= mayBeLost,
        `answered, and not in the audit trail: ${missing().join(', ')}`,
      )
      for (const marker of missing()) audited.add(marker)
      assert.equal(await said('reached')(), '', 'the database itself was reached')
      assert.ok((await said('tried')()).split('\n').length > tried)
    }).timeout('10m')

  it('is contained before it starts again when its pod gets another network namespace', async () => {
    const cluster = product().cluster.machinery
    assert.ok(cluster)
    const spec = { restartPolicy: 'Always' }
    await using anew = await supportBot.startAgent('anew', { container: { command }, spec })
    const inPod = (path: string): Promise<string> =>
      kubectl('get', 'pod', anew.name, '-n', anew.namespace, '-o', `jsonpath=${path}`)
    const rules = `{.status.initContainerStatuses[?(@.name=="${layout.rulesContainer}")]`
    const before = await inPod(`${rules}.containerID}`)
    await killSandbox(cluster, anew.namespace, anew.name)
    await eventually(() => inPod('{.status.containerStatuses[0].restartCount}'), /^[1-9]/)
    await anew.ready()
    assert.notEqual(await inPod(`${rules}.containerID}`), before)
    assert.equal(await inPod(`${rules}.state.terminated.exitCode}`), '0')
    const log = (): Promise<string> => kubectl('logs', anew.name, '-n', anew.namespace, '-c', 'agent')
    await eventually(log, /^answered /m)
    await eventually(log, /^tried /m)
    assert.doesNotMatch(await log(), /^reached /m)
  }).timeout('10m')

  /** All the time: the kubelet keeps the logs of a container and of the one before it, and no more. */
  async function collectAudit(until: AbortSignal): Promise<void> {
    while (!until.aborted) {
      for (const previous of [true, false])
        for (const { text } of await agent.audit({ previous })) {
          const [, marker] = /^SELECT 'marker (\d+)'$/.exec(String(text)) ?? []
          if (marker !== undefined) audited.add(marker)
        }
      await delay(1_000)
    }
  }
})
