/** Approvals and elevations of agents that act for others. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ApprovalRequest } from '@firebreak/crds'
import { Agents, orchestratorToken } from '../../test/agents.ts'
import { until } from '../../test/eventually.ts'
import { Shop } from '../../test/shop.ts'
import { decideRequest, listRequests } from './desk.ts'
import { isFinished } from './store.ts'

const ask = '{name: ask, match: {actions: ["sql:delete"], objects: [public.carts]}, effect: requireApproval}'
const read = '{name: read, match: {actions: ["sql:select"]}, effect: allow}'
const all = '{name: anything, match: {actions: ["sql:*"]}, effect: allow}'

describe('people and chains of agents', function () {
  this.timeout(120_000)
  let shop: Shop
  let agents: Agents

  before(async () => {
    shop = await Shop.start()
    await shop.create('shop')
  })
  after(() => shop[Symbol.asyncDispose]())
  afterEach(() => agents[Symbol.asyncDispose]())

  const directory = (): string => join(agents.guard.directory, 'approvals')

  const theRequest = (): Promise<ApprovalRequest> =>
    until(async () => {
      const requests = await listRequests(directory()).catch(() => [])
      return requests.find((each) => !isFinished(each))
    }, 'nobody was asked')

  it('show people the whole chain, and approve for that chain alone', async () => {
    agents = await Agents.start(shop, { rules: { planner: ask } })
    const { planner, worker } = await agents.chain({}, {})
    const last = await agents.connect('agent@sql-worker', worker.token)
    const deleting = last.query('DELETE FROM carts WHERE id = 1')
    const request = await theRequest()
    assert.deepEqual(
      request.spec.chain.map(({ identity }) => identity),
      ['default/orchestrator', 'default/planner', 'default/sql-worker'],
    )
    assert.deepEqual(
      request.spec.requirements.map(({ policy, rule }) => `${policy}/${rule}`),
      ['default/of-planner/ask'],
      'what holds the one who delegated holds those it delegates to',
    )
    // the same command of the planner itself is another request
    const middle = await agents.connect('agent@planner', planner.token)
    const own = assert.rejects(middle.query('DELETE FROM carts WHERE id = 1'), /was denied/)
    await until(async () => (await listRequests(directory())).length === 2)
    for (const each of await listRequests(directory()))
      await decideRequest(directory(), each.metadata.name, {
        decision: each.metadata.name === request.metadata.name ? 'Approved' : 'Denied',
        reason: 'test',
      })
    assert.equal((await deleting).rowCount, 1)
    await own
    const [used] = await agents.guard.auditLines('approval.used')
    assert.deepEqual(used?.chain, ['default/orchestrator', 'default/planner', 'default/sql-worker'])
    await Promise.all([last.end(), middle.end()])
  })

  it('withdraw what waits when somebody of the chain is suspended', async () => {
    agents = await Agents.start(shop, { rules: { 'sql-worker': ask } })
    const { worker } = await agents.chain({}, {})
    const last = await agents.connect('agent@sql-worker', worker.token)
    const ended = assert.rejects(last.query('DELETE FROM carts WHERE id = 2'))
    const { metadata } = await theRequest()
    const suspended = Agents.manifests(shop, {
      rules: { 'sql-worker': ask },
      orchestrator: 'delegation: {maxDepth: 2}\n  suspend: true',
    })
    writeFileSync(join(agents.guard.directory, 'firebreak.yaml'), suspended)
    await ended
    await until(async () =>
      (await listRequests(directory())).some(
        (each) => each.metadata.name === metadata.name && each.status?.state === 'Withdrawn',
      ),
    )
  })

  it('grant more to one chain and never more than those before it have', async () => {
    const elevations = (name: string): string =>
      `${read}]\n  elevations: [{name: ${name}, actions: ["sql:delete", "sql:insert"], maxDuration: 1h}`
    agents = await Agents.start(shop, {
      rules: {
        all: read,
        orchestrator: all,
        planner: '{name: deletes, match: {actions: ["sql:delete"]}, effect: allow}',
        'sql-worker': elevations('work'),
      },
    })
    const { planner, worker } = await agents.chain({}, { objects: ['public.carts', 'public.orders'] })
    const asking = {
      resource: 'shop',
      actions: ['sql:delete', 'sql:insert'],
      for: '10m',
      reason: 'to repair',
    }
    const refused = await agents.ask('POST', '/v1/elevations', planner.token, asking)
    assert.equal(refused.status, 403)
    assert.match(JSON.stringify(refused.body), /no policy lets default\/planner ask for more rights/)
    const asked = await agents.ask('POST', '/v1/elevations', worker.token, asking)
    assert.equal(asked.status, 201, JSON.stringify(asked.body))
    const last = await agents.connect('agent@sql-worker', worker.token)
    await assert.rejects(last.query('DELETE FROM carts WHERE id = 3'), { code: '42501' })
    await decideRequest(directory(), String(asked.body.name), { decision: 'Approved' })
    assert.equal((await last.query('DELETE FROM carts WHERE id = 3')).rowCount, 1)
    await assert.rejects(
      last.query('INSERT INTO carts (id) VALUES (9)'),
      { code: '42501' },
      'the planner may not',
    )
    await assert.rejects(last.query('DELETE FROM customers'), /scope/, 'its scope stays')
    const list = await agents.ask('GET', '/v1/elevations', worker.token)
    assert.deepEqual(
      (list.body.elevations as { state: string }[]).map(({ state }) => state),
      ['Approved'],
    )
    assert.deepEqual((await agents.ask('GET', '/v1/elevations', orchestratorToken)).body.elevations, [])
    await last.end()
  })
})
