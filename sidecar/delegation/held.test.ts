/** Commands of a child that are held because of a policy for a link before it. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import type { ApprovalRequest } from '@firebreak/crds'
import { Agents, orchestratorToken } from '../../test/agents.ts'
import { until } from '../../test/eventually.ts'
import { Shop } from '../../test/shop.ts'
import { decideRequest, listRequests } from '../approvals/desk.ts'

describe('held commands of delegations', function () {
  this.timeout(120_000)
  let shop: Shop
  let agents: Agents

  before(async () => {
    shop = await Shop.start()
    await shop.create('shop')
    agents = await Agents.start(shop, {
      rules: {
        orchestrator: '{name: ask, match: {actions: ["sql:delete"]}, effect: requireApproval}',
        planner:
          '{name: ask-too, match: {objects: [public.carts]}, effect: requireApproval, approval: {expiresAfter: 1m}}',
      },
    })
  })
  after(async () => {
    await agents[Symbol.asyncDispose]()
    await shop[Symbol.asyncDispose]()
  })

  /** The youngest request, once it is in a state. */
  async function request(state: string): Promise<ApprovalRequest> {
    return await until(async () => {
      const found = (await listRequests(join(agents.guard.directory, 'approvals'))).at(-1)
      return found?.status?.state === state && found
    }, `no request is ${state}`)
  }

  it('are asked about in the name of the whole chain, by the rules of every link', async () => {
    const { worker } = await agents.chain()
    const client = await agents.connect('agent@sql-worker', worker.token)
    const running = client.query('DELETE FROM carts WHERE id = 3')
    const { metadata, spec } = await request('Pending')
    assert.deepEqual(
      spec.chain.map(({ identity }) => identity),
      ['default/orchestrator', 'default/planner', 'default/sql-worker'],
    )
    assert.deepEqual(
      spec.requirements.map(({ rule }) => rule),
      ['ask', 'ask-too'],
    )
    await decideRequest(join(agents.guard.directory, 'approvals'), metadata.name, { decision: 'Approved' })
    assert.equal((await running).rowCount, 1)
    await client.end()
  })

  it('are withdrawn when the delegation of a link before them is revoked', async () => {
    const { planner, worker } = await agents.chain()
    const client = await agents.connect('agent@sql-worker', worker.token)
    const running = client.query('DELETE FROM carts WHERE id = 2')
    const refused = assert.rejects(running, /57P01|has ended: revoked by orchestrator|terminated/)
    await request('Pending')
    await agents.ask('DELETE', `/v1/delegations/${planner.id}`, orchestratorToken)
    await refused
    await request('Withdrawn')
    assert.equal((await shop.admin('shop', 'SELECT 1 FROM carts WHERE id = 2')).rowCount, 1)
  })
})
