import assert from 'node:assert/strict'
import { type ApiServer, startApiServer } from '../../test/api-server.ts'
import { untilTrue } from '../../test/eventually.ts'
import { leases } from '../kubernetes/objects.ts'
import { leadWhenElected } from './leadership.ts'

describe('leadership', function () {
  this.timeout('5m')
  let api: ApiServer
  before(async function () {
    this.timeout('45m')
    api = await startApiServer()
  })
  after(() => api?.[Symbol.asyncDispose]())

  it('is of one replica at a time, passes on when given up or lost, and comes back', async () => {
    const { cluster, client } = api
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

  it('is not given up while what the leader has begun goes on: it lapses', async () => {
    const { client } = api
    const stop = new AbortController()
    const work = Promise.withResolvers<void>()
    const errors: string[] = []
    let leads = false
    const done = leadWhenElected(
      client,
      {
        ...{ namespace: 'default', name: 'stuck', holder: 'first', endWithin: 100 },
        onError: ({ message }) => errors.push(message),
      },
      () => {
        leads = true
        return work.promise
      },
      stop.signal,
    )
    await untilTrue(() => leads)
    stop.abort()
    await done
    assert.deepEqual(errors, ['what the leader has begun did not end within 100 ms'])
    assert.equal((await client.get(leases, 'stuck', 'default'))?.spec?.holderIdentity, 'first')
    work.resolve()
  })
})
