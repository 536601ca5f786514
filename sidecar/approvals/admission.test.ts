import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import type { ApprovalRequest } from '@firebreak/crds'
import fc from 'fast-check'
import { parse } from 'yaml'
import { admitDecision } from './admission.ts'
import { commandDigest } from './digest.ts'
import type { Approver } from './requirements.ts'

type Changes = Readonly<Partial<Record<'metadata' | 'spec' | 'status', Record<string, unknown>>>>

interface Row {
  readonly says: string
  readonly before?: Changes
  readonly after: Changes
  readonly by?: Approver
  readonly state?: string
  readonly approvals?: readonly string[]
  readonly refused?: string
  readonly tampering?: string
  readonly unchanged?: boolean
}

const rows = parse(
  readFileSync(new URL('testdata/admission.yaml', import.meta.url), 'utf8'),
) as readonly Row[]

const request: ApprovalRequest = {
  apiVersion: 'firebreak.dev/v1alpha1',
  kind: 'ApprovalRequest',
  metadata: { name: 'worker-bcdfg', namespace: 'agents' },
  spec: {
    identity: 'worker',
    chain: [{ identity: 'agents/planner' }, { identity: 'agents/worker' }],
    resource: 'orders-db',
    role: 'reader',
    kind: 'command',
    command: {
      text: 'DROP TABLE carts',
      digest: 'a'.repeat(64),
      actions: ['sql:drop'],
      objects: ['table public.carts'],
    },
    requirements: [
      { policy: 'agents/guard', rule: 'ask', groups: ['dba'], quorum: 2 },
      { policy: 'agents/guard', rule: 'ask-too', groups: ['security'], quorum: 1 },
    ],
    requestedAt: '2026-01-01T11:50:00Z',
    expiresAt: '2026-01-01T12:10:00Z',
  },
  status: { state: 'Pending' },
}

function changed(from: ApprovalRequest, changes: Changes = {}): ApprovalRequest {
  const merge = (part: 'metadata' | 'spec' | 'status'): Record<string, unknown> =>
    Object.fromEntries(
      Object.entries({ ...from[part], ...changes[part] }).filter(([, value]) => value !== null),
    )
  return {
    ...from,
    metadata: merge('metadata'),
    spec: merge('spec'),
    status: merge('status'),
  } as unknown as ApprovalRequest
}

const attempt = (row: Pick<Row, 'before' | 'after' | 'by'>): ReturnType<typeof admitDecision> => {
  const before = changed(request, row.before)
  return admitDecision({
    before,
    after: changed(before, row.after),
    by: row.by ?? { user: 'alice', groups: ['dba'] },
    agentUsers: ['agent-os-user'],
    now: new Date('2026-01-01T12:00:00Z'),
  })
}

describe('a decision', () => {
  for (const row of rows)
    it(row.says, () => {
      const before = changed(request, row.before)
      const admission = attempt(row)
      if (row.unchanged) return assert.equal(admission.kind, 'unchanged')
      const refusal = row.refused ?? row.tampering
      if (refusal !== undefined) {
        assert.ok(admission.kind === 'refused', JSON.stringify(admission))
        assert.ok(admission.reason.includes(refusal), admission.reason)
        assert.equal(admission.tampering, row.tampering !== undefined)
        return
      }
      assert.ok(admission.kind === 'admitted', JSON.stringify(admission))
      const { spec, status } = admission.request
      assert.equal(status?.state, row.state)
      assert.deepEqual(
        status?.approvals?.map(({ user }) => user),
        row.approvals,
      )
      const final = row.state === 'Pending' ? undefined : row.after.spec
      assert.equal(spec.decision, final?.decision)
      assert.equal(spec.reason, final?.reason)
      assert.deepEqual({ ...spec, decision: 0, reason: 0 }, { ...before.spec, decision: 0, reason: 0 })
    })

  it('grants an elevation from the moment of the last vote on, and a denial ends it', () => {
    const elevation = { role: 'writer', breakGlass: false, duration: '30m' }
    const requirements = [{ policy: 'agents/guard', rule: 'writer', quorum: 1 }]
    const spec = { kind: 'elevation', elevation, requirements, command: null }
    const granted = attempt({ before: { spec }, after: { spec: { decision: 'Approved' } } })
    assert.ok(granted.kind === 'admitted')
    assert.equal(granted.request.status?.grantedUntil, '2026-01-01T12:30:00.000Z')
    const status = { state: 'Approved', grantedUntil: '2026-01-01T12:20:00.000Z' }
    const after = { spec: { decision: 'Denied', reason: 'done' } }
    for (const decision of [{ decision: 'Approved' }, {}]) {
      const ended = attempt({ before: { spec: { ...spec, ...decision }, status }, after })
      assert.ok(ended.kind === 'admitted')
      assert.equal(ended.request.status?.state, 'Denied')
      assert.equal(ended.request.status?.grantedUntil, '2026-01-01T12:00:00.000Z')
    }
    const again = attempt({ before: { spec, status }, after: { spec: { decision: 'Approved' } } })
    assert.ok(again.kind === 'refused')
  })
})

describe('the digest of a command', () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b', '\0', ' '), maxLength: 4 })
  const parts = fc.record({
    statement: text.map((value) => Buffer.from(value)),
    parameters: fc.array(
      fc.record({
        encoding: text,
        value: fc.option(text.map((value) => Buffer.from(value))),
        shown: fc.constant(''),
      }),
      { maxLength: 3 },
    ),
    context: fc.array(text, { maxLength: 3 }),
  })

  it('is the same for the same, and for nothing else', () => {
    fc.assert(
      fc.property(parts, parts, (a, b) => {
        assert.equal(commandDigest(a) === commandDigest(b), JSON.stringify(a) === JSON.stringify(b))
      }),
      { numRuns: 2_000 },
    )
  })

  it('tells NULL from nothing, and one parameter from two', () => {
    const of = (...values: (string | null)[]): string =>
      commandDigest({
        statement: Buffer.from('x'),
        parameters: values.map((value) => ({
          encoding: 'text',
          value: value === null ? null : Buffer.from(value),
          shown: '',
        })),
        context: [],
      })
    assert.equal(
      new Set([of(), of(null), of(''), of('a', 'b'), of('ab'), of('', 'ab'), of('b', 'a')]).size,
      7,
    )
  })
})
