/** What is told of a request while it is written. */
import assert from 'node:assert/strict'
import type { ApprovalRequest } from '@firebreak/crds'
import { ManualClock } from '../../test/manual-clock.ts'
import { Registry } from './registry.ts'
import type { ApprovalStore, Standing } from './store.ts'

const asked: ApprovalRequest = {
  apiVersion: 'firebreak.dev/v1alpha1',
  kind: 'ApprovalRequest',
  metadata: { name: 'bot-1', namespace: 'agents' },
  spec: {
    identity: 'bot',
    chain: [{ identity: 'agents/bot' }],
    resource: 'shop',
    role: 'agent',
    kind: 'elevation',
    elevation: { actions: ['sql:truncate'], duration: '1h', breakGlass: true },
    requirements: [{ policy: 'agents/shop', rule: 'fire', approvers: [], quorum: 1 }],
    requestedAt: new Date(0).toISOString(),
  },
} as unknown as ApprovalRequest
const pending: ApprovalRequest = { ...asked, status: { state: 'Pending' } }
const granted: ApprovalRequest = {
  ...asked,
  status: { state: 'Approved', grantedUntil: new Date(Date.now() + 3_600_000).toISOString() },
}
const denied: ApprovalRequest = { ...asked, status: { state: 'Denied' } }

const cases: readonly { name: string; told: ApprovalRequest; answered: ApprovalRequest; stands: string }[] = [
  { name: 'as it was before it was granted', told: pending, answered: granted, stands: 'Approved' },
  { name: 'as granted, before the answer', told: granted, answered: pending, stands: 'Approved' },
  { name: 'as denied, before the answer', told: denied, answered: granted, stands: 'Denied' },
]

describe('a request that is told of while it is written', () => {
  for (const { name, told, answered, stands } of cases)
    it(name, async () => {
      let tell: (standing: Standing) => void = () => {}
      const store: ApprovalStore = {
        load: async () => [],
        subscribe: (_attempted, stand) => {
          tell = stand
        },
        isOwn: () => true,
        asker: async () => undefined,
        add: async (request) => {
          tell({ name: request.metadata.name, request: told })
          return answered
        },
        use: async () => false,
        write: async () => {},
        [Symbol.asyncDispose]: async () => {},
      }
      await using registry = await Registry.open({
        store,
        clock: new ManualClock(),
        agentUsers: [],
        report: () => {},
      })
      const entry = await registry.add(asked)
      assert.equal(entry.state, stands)
    })
})
