/** Commands that are held when the runner is killed or stopped. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { ApprovalRequest } from '@firebreak/crds'
import { GatewayProcess } from '../../../../test/gateway-process.ts'
import { manifests } from '../../../../test/policies.ts'
import { Guard, Shop } from '../../../../test/shop.ts'
import { decideRequest, listRequests } from '../../../approvals/desk.ts'
import { isFinished } from '../../../approvals/store.ts'

const rules = `    - {name: anything, match: {actions: ["sql:*"]}, effect: allow}
    - {name: ask, match: {actions: ["sql:delete"]}, effect: requireApproval}
`

describe('held commands and the end of the runner', function () {
  this.timeout(180_000)
  let shop: Shop

  before(async () => {
    shop = await Shop.start()
    await shop.create('shop')
  })
  after(() => shop[Symbol.asyncDispose]())

  const run = (guard: Guard): Promise<GatewayProcess> =>
    GatewayProcess.start(guard.directory, [
      '--audit',
      join(guard.directory, 'own.jsonl'),
      '--state',
      join(guard.directory, 'own'),
    ])

  it('are neither lost by a SIGKILL nor run twice', async () => {
    await using guard = await Guard.start(
      {
        'firebreak.yaml': manifests({
          address: `127.0.0.1:${shop.postgres.port}`,
          database: 'shop',
          rules,
        }),
      },
      shop.postgres.password,
    )
    const directory = join(guard.directory, 'own')
    const only = async (): Promise<ApprovalRequest> => {
      for (let turn = 0; turn < 3_000; turn++) {
        const [request] = (await listRequests(directory).catch(() => [])).filter((each) => !isFinished(each))
        if (request) return request
        await delay(10)
      }
      return assert.fail('there never was a request')
    }
    await using first = await run(guard)
    const agent = await shop.connect(first.address, 'shop')
    const deleting = assert.rejects(agent.query('DELETE FROM carts WHERE id = 1 RETURNING id'))
    const request = await only()
    await first.end('SIGKILL')
    await deleting
    // decided while nothing runs
    assert.equal(
      (await decideRequest(directory, request.metadata.name, { decision: 'Approved' })).kind,
      'unread',
    )
    await using second = await run(guard)
    const again = await shop.connect(second.address, 'shop')
    assert.equal((await again.query('DELETE FROM carts WHERE id = 1 RETURNING id')).rowCount, 1)
    const repeated = assert.rejects(again.query('DELETE FROM carts WHERE id = 1 RETURNING id'))
    const next = await only()
    assert.notEqual(next.metadata.name, request.metadata.name)
    await second.end('SIGKILL')
    await repeated
    await using third = await run(guard)
    const last = await shop.connect(third.address, 'shop')
    const told = new Promise<string>((resolve) =>
      last.on('notice', ({ message }) => resolve(String(message))),
    )
    const waiting = assert.rejects(
      last.query('DELETE FROM carts WHERE id = 1 RETURNING id'),
      /gateway is shutting down/,
    )
    assert.ok((await told).includes(next.metadata.name), 'it joins the request that it finds')
    await third.end('SIGTERM')
    await waiting
    assert.equal((await only()).status?.state, 'Pending', 'an ordered end loses none either')
  })
})
