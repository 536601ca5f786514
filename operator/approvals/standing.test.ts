import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import type { ApprovalRequest } from '@firebreak/crds'
import { parse } from 'yaml'
import { happenings } from './happenings.ts'
import { lapsesAt, standing } from './standing.ts'

interface Row {
  readonly says: string
  readonly spec?: Partial<ApprovalRequest['spec']>
  readonly status?: ApprovalRequest['status']
  readonly state: string
  readonly approvals?: readonly string[]
  readonly grantedUntil?: string
}

const rows = parse(readFileSync(new URL('testdata/standing.yaml', import.meta.url), 'utf8'), {
  merge: true,
}) as readonly Row[]
const now = new Date('2026-01-01T12:00:00Z')

function request({ spec, status }: Pick<Row, 'spec' | 'status'>): ApprovalRequest {
  return {
    apiVersion: 'firebreak.dev/v1alpha1',
    kind: 'ApprovalRequest',
    metadata: { name: 'worker-bcdfg', namespace: 'agents' },
    spec: {
      identity: 'worker',
      chain: [{ identity: 'agents/worker' }],
      resource: 'orders-db',
      role: 'reader',
      kind: 'command',
      requirements: [
        { policy: 'agents/guard', rule: 'ask', groups: ['dba'], quorum: 1 },
        { policy: 'agents/guard', rule: 'ask-too', groups: ['security'], quorum: 1 },
      ],
      requestedAt: '2026-01-01T11:50:00Z',
      expiresAt: '2026-01-01T12:10:00Z',
      ...spec,
    },
    ...(status && { status }),
  }
}

describe('where a request stands', () => {
  for (const row of rows)
    it(row.says, () => {
      const stands = standing(request(row), now)
      assert.equal(stands.status.state, row.state)
      assert.deepEqual(
        stands.status.approvals?.map(({ user }) => user),
        row.approvals,
      )
      assert.equal(stands.status.grantedUntil, row.grantedUntil)
      assert.deepEqual(standing(stands, now), stands, 'it stays as it is')
      const open = row.state === 'Pending' || row.state === 'Approved'
      assert.equal(lapsesAt(stands) !== undefined, open)
      const later = standing(stands, new Date('2027-01-01T00:00:00Z')).status.state
      assert.equal(later, open ? 'Expired' : row.state)
    })
})

describe('what has happened to a request', () => {
  const told = (before: ApprovalRequest['status'], now_: Pick<Row, 'spec' | 'status'>): string[] =>
    happenings({ ...(before && { status: before }) }, standing(request(now_), now)).map(({ kind, by }) =>
      [kind, by?.user].filter(Boolean).join(' '),
    )
  const knownAs = (reason: string, more: ApprovalRequest['status'] = {}): ApprovalRequest['status'] => ({
    ...more,
    conditions: [
      { type: 'Approved', status: 'False', reason, message: '', lastTransitionTime: '2026-01-01T11:50:00Z' },
    ],
  })
  const votes = [
    { user: 'alice', groups: ['dba'], decision: 'Approved' as const, at: '2026-01-01T11:55:00Z' },
    { user: 'carol', groups: ['security'], decision: 'Approved' as const, at: '2026-01-01T11:56:00Z' },
  ]
  const approved = { decision: 'Approved' as const, votes }
  const hour = { kind: 'elevation' as const, elevation: { duration: '1h', breakGlass: false } }

  const cases: readonly [says: string, actual: () => string[], expected: string[]][] = [
    ['it is new', () => told(undefined, {}), ['requested']],
    ['nothing', () => told(knownAs('Pending'), {}), []],
    [
      'one has agreed',
      () => told(knownAs('Pending'), { spec: { votes: votes.slice(0, 1) } }),
      ['decided alice'],
    ],
    [
      'the second has agreed',
      () => told(knownAs('Pending', { approvals: votes.slice(0, 1) }), { spec: approved }),
      ['decided carol'],
    ],
    [
      'all at once, and it was used',
      () => told(undefined, { spec: approved, status: { state: 'Used' } }),
      ['requested', 'decided alice', 'decided carol', 'used'],
    ],
    [
      'an elevation is granted',
      () => told(knownAs('Pending'), { spec: { ...approved, ...hour } }),
      ['decided alice', 'decided carol', 'granted'],
    ],
    [
      'an elevation has ended',
      () =>
        told(knownAs('Approved', { approvals: votes, grantedUntil: '2026-01-01T11:58:00Z' }), {
          spec: { ...approved, ...hour },
          status: { state: 'Expired', grantedUntil: '2026-01-01T11:58:00Z' },
        }),
      ['ended'],
    ],
    ['it was withdrawn', () => told(knownAs('Pending'), { status: { state: 'Withdrawn' } }), ['withdrawn']],
    ['it has been told', () => told(knownAs('Withdrawn'), { status: { state: 'Withdrawn' } }), []],
  ]
  for (const [says, actual, expected] of cases) it(says, () => assert.deepEqual(actual(), expected))
})
