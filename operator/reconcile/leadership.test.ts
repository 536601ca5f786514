import assert from 'node:assert/strict'
import { KubeConfig } from '@kubernetes/client-node'
import { type ControlPlane, startControlPlane } from '../../e2e/index.ts'
import { KubernetesClient } from '../kubernetes/client.ts'
import { leases } from '../kubernetes/objects.ts'
import { leadWhenElected } from './leadership.ts'

const untilTrue = async (what: () => boolean): Promise<void> => {
  while (!what()) await new Promise((resolve) => setTimeout(resolve, 10))
}

describe('leadership', function () {
  this.timeout(120_000)
  let cluster: ControlPlane
  let client: KubernetesClient
  before(async function () {
    this.timeout('45m')
    cluster = await startControlPlane()
    const config = new KubeConfig()
    config.loadFromFile(cluster.kubeconfig)
    client = new KubernetesClient(config)
  })
  after(async () => {
    await client?.[Symbol.asyncDispose]()
    await cluster?.[Symbol.asyncDispose]()
  })

  it('is of one replica at a time, passes on when given up or lost, and comes back', async () => {
    const leading = new Set<string>()
    let most = 0
    const candidate = (holder: string): { stop: () => Promise<void> } => {
      const ended = new AbortController()
      const done = leadWhenElected(
        client,
        { namespace: 'default', name: 'operator', holder, durationSeconds: 3, onError: () => {} },
        async (signal) => {
          leading.add(holder)
          most = Math.max(most, leading.size)
          await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
          leading.delete(holder)
        },
        ended.signal,
      )
      return {
        stop: async () => {
          ended.abort()
          await done
        },
      }
    }
    const first = candidate('first')
    await untilTrue(() => leading.has('first'))
    const second = candidate('second')

    await first.stop()
    await untilTrue(() => leading.has('second'))
    const lease = await client.get(leases, 'operator', 'default')
    assert.equal(lease?.spec?.holderIdentity, 'second')

    await cluster.apiServer.stop(0)
    await untilTrue(() => leading.size === 0)
    cluster.apiServer.start()
    await cluster.ready()
    await untilTrue(() => leading.has('second'))

    const third = candidate('third')
    await second.stop()
    await untilTrue(() => leading.has('third'))
    await third.stop()
    assert.equal(most, 1)
  })
})
