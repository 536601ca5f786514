/** Commands that are held when the runner is killed or stopped. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { ApprovalRequest } from '@firebreak/crds'
import { manifests } from '../../../../test/policies.ts'
import { Guard, Shop } from '../../../../test/shop.ts'
import { decideRequest, listRequests } from '../../../approvals/desk.ts'
import { isFinished } from '../../../approvals/store.ts'

const rules = `    - {name: anything, match: {actions: ["sql:*"]}, effect: allow}
    - {name: ask, match: {actions: ["sql:delete"]}, effect: requireApproval}
`

describe('held commands and the end of the runner', function () {
  this.timeout(120_000)
  let shop: Shop

  before(async () => {
    shop = await Shop.start()
    await shop.create('shop')
  })
  after(() => shop[Symbol.asyncDispose]())

  /** `firebreak run` as a process of its own. */
  async function run(guard: Guard): Promise<{ child: ChildProcess; port: number }> {
    const main = new URL('../../../../cli/main.ts', import.meta.url).pathname
    const child = spawn(
      process.execPath,
      [
        main,
        'run',
        '--config',
        guard.directory,
        '--audit',
        join(guard.directory, 'own.jsonl'),
        '--listen',
        'shop=127.0.0.1:0',
        '--state',
        join(guard.directory, 'own'),
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    )
    let messages = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => (messages += text))
    for (let turn = 0; turn < 2_000; turn++) {
      const port = /on 127\.0\.0\.1:(\d+)/.exec(messages)?.[1]
      if (port) return { child, port: Number(port) }
      await delay(10)
    }
    return assert.fail(`it never listened: ${messages}`)
  }

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
    const first = await run(guard)
    const agent = await shop.connect({ host: '127.0.0.1', port: first.port }, 'shop')
    const deleting = assert.rejects(agent.query('DELETE FROM carts WHERE id = 1 RETURNING id'))
    const request = await only()
    first.child.kill('SIGKILL')
    await deleting
    // decided while nothing runs
    assert.equal(
      (await decideRequest(directory, request.metadata.name, { decision: 'Approved' })).kind,
      'unread',
    )
    const second = await run(guard)
    const again = await shop.connect({ host: '127.0.0.1', port: second.port }, 'shop')
    assert.equal((await again.query('DELETE FROM carts WHERE id = 1 RETURNING id')).rowCount, 1)
    const repeated = assert.rejects(again.query('DELETE FROM carts WHERE id = 1 RETURNING id'))
    const next = await only()
    assert.notEqual(next.metadata.name, request.metadata.name)
    second.child.kill('SIGKILL')
    await repeated
    const third = await run(guard)
    const last = await shop.connect({ host: '127.0.0.1', port: third.port }, 'shop')
    const waiting = assert.rejects(
      last.query('DELETE FROM carts WHERE id = 1 RETURNING id'),
      /gateway is shutting down/,
    )
    await delay(500)
    assert.equal((await only()).metadata.name, next.metadata.name, 'it joins the request that it finds')
    third.child.kill('SIGTERM')
    await waiting
    await once(third.child, 'exit')
    assert.equal((await only()).status?.state, 'Pending', 'an ordered end loses none either')
  })
})
