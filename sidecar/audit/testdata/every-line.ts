/** One of every kind of line, in which nothing is left out. */
import type { Command, Decision, Touch } from '@firebreak/policy'
import type { CommandAudit } from '../../session.ts'
import type { SessionIdentity } from '../audit.ts'
import type { AccountLine, ApprovalLine, DelegationLine, Notices, ProofLine, SessionEnd } from '../lines.ts'

export const who: SessionIdentity = {
  session: 'S1',
  remoteAddress: '10.0.0.1',
  subject: {
    chain: [
      { identity: 'agents/planner', groups: [] },
      { identity: 'agents/worker', groups: [] },
    ],
    resource: 'agents/orders',
    role: 'reader',
  },
}

const touches: readonly Touch[] = [
  {
    action: 'sql:select',
    object: { kind: 'table', path: ['public', 'customers'], parts: ['ssn'] },
    origin: 'direct',
  },
  { action: 'sql:select', object: { kind: 'table', path: ['public', 'orders'] }, origin: 'implied' },
]

export function command(text: string, more: Partial<Command> = {}): Command {
  return {
    resourceType: 'postgresql',
    text,
    touches,
    opaque: [],
    fields: [],
    indirectUses: [],
    facts: {},
    ...more,
  }
}

const explained = {
  rule: { policy: 'agents/guard', rule: 'keep' },
  reason: 'that is kept',
  hint: 'Ask.',
  matched: [],
  alerts: [{ policy: 'agents/guard', rule: 'watch' }],
  touchesMasked: true,
  revision: 'abc',
} as const
const denied: Decision = { ...explained, effect: 'deny' }
export const allowed: Decision = { ...explained, effect: 'allow', masks: [] }

/** An entry in which nothing is left out. */
export const everything: CommandAudit & { readonly outcome: Required<CommandAudit['outcome']> } = {
  reference: 'R1',
  command: command('select 1', { opaque: ['it runs text'] }),
  decision: denied,
  text: 'select 2',
  parameters: ['one', null],
  approval: 'worker-bcdfg',
  outcome: {
    rows: 1,
    bytes: 2,
    maskedFields: ['ssn'],
    milliseconds: 12.34567,
    addedMilliseconds: 0.1,
    analysisMilliseconds: 0.05,
    sent: true,
    status: 200,
    error: { code: '42501', message: 'denied' },
  },
}

export const proof: Required<ProofLine> = {
  kind: 'token',
  issuer: 'https://issuer.example',
  subject: 'system:serviceaccount:agents:worker',
  tokenId: 'T1',
  issuedAt: '2026-01-01T00:00:00.000Z',
  expiresAt: '2026-01-01T01:00:00.000Z',
  pod: { name: 'worker-1', uid: 'U1' },
  root: { kind: 'loopback' },
}
export const ended: Required<SessionEnd> = { commands: 1, seconds: 2, reason: 'expired' }
const approval: Required<ApprovalLine> = {
  request: 'worker-bcdfg',
  reference: 'R1',
  identity: 'agents/worker',
  chain: ['agents/planner', 'agents/worker'],
  resource: 'agents/orders',
  role: 'reader',
  digest: 'd1',
  actions: ['sql:drop'],
  objects: ['table public.orders'],
  elevation: { role: 'writer' },
  resumption: { action: 'suspend' },
  justification: 'to repair it',
  rules: ['agents/guard/ask'],
  state: 'Approved',
  grantedUntil: '2026-01-01T01:00:00.000Z',
  by: 'alice',
  groups: ['dba'],
  verdict: 'Approved',
  reason: 'fine',
}
const account: AccountLine = {
  session: 'S1',
  resource: 'agents/orders',
  role: 'reader',
  account: 'firebreak_s1',
}
const delegation: Required<DelegationLine> = {
  delegation: 'D1',
  identity: 'agents/worker',
  chain: ['agents/planner', 'agents/worker'],
  scope: { actions: ['sql:select'] },
  expiresAt: '2026-01-01T00:10:00.000Z',
  user: 1001,
  remote: '127.0.0.1',
  reason: 'revoked by planner',
  reference: 'R3',
}
export const notices: { readonly [Event in keyof Notices]: Required<Notices[Event]> } = {
  'audit.start': { program: '0.1.0', host: 'h1', process: 1, after: { source: 'A1', seq: 2 } },
  'audit.end': {},
  'audit.dropped': { sink: 'https://logs.example/', count: 3, lines: [[4, 6]] },
  'session.refused': {
    reference: 'R2',
    resource: 'agents/orders',
    remote: '10.0.0.1',
    role: 'reader',
    reason: 'no token',
    problem: 'expired',
    chain: ['agents/planner', 'agents/worker'],
  },
  signal: {
    kind: 'tokenMisuse',
    severity: 'high',
    problem: 'expired',
    explanation: 'A client was refused.',
    reference: 'R2',
    session: 'S1',
    identity: 'agents/worker',
    resource: 'agents/orders',
    remote: '10.0.0.1',
    request: 'worker-bcdfg',
    chain: ['agents/planner', 'agents/worker'],
    policy: 'agents/guard',
    rule: 'watch',
    action: 'alert',
    evidence: ['R1', 'R2'],
  },
  'request.refused': {
    reference: 'R2',
    remote: '127.0.0.1',
    reason: 'no token',
    problem: 'expired',
    chain: ['agents/planner', 'agents/worker'],
  },
  'delegation.issued': delegation,
  'delegation.refused': delegation,
  'delegation.revoked': delegation,
  'approval.requested': approval,
  'approval.decided': approval,
  'approval.refused': approval,
  'approval.used': approval,
  'approval.withdrawn': approval,
  'approval.expired': approval,
  'approval.unsaved': approval,
  'elevation.granted': approval,
  'elevation.ended': approval,
  'token.obtained': { identity: 'agents/worker', proof },
  'token.failed': { identity: 'agents/worker', reason: 'no answer' },
  'credential.rotated': { resource: 'agents/orders', role: 'reader' },
  'account.made': account,
  'account.dropped': account,
  'account.left': { ...account, reason: 'it owns a subscription' },
  'egress.refused': {
    identity: 'agents/worker',
    kind: 'name',
    destination: '10.0.0.2:53',
    name: 'example.com A',
    reason: 'the name is not allowed',
    count: 3,
  },
  'notification.lost': { notification: 'approval.requested', request: 'worker-bcdfg', reason: 'no answer' },
  'classification.unmatched': {
    resource: 'agents/orders',
    classified: 'public.orders.emial',
    place: 'a.yaml:12',
    suggestion: 'public.orders.email',
  },
  'recording.started': { session: 'S1', signer: 'K1', place: '/recordings', unmasked: ['age1x'] },
  'recording.ended': { session: 'S1', bytes: 1, blocks: 3, commands: 1, hash: '00' },
  'recording.limit': { session: 'S1', bytes: 1, consequence: 'ends' },
  'recording.failed': { session: 'S1', reason: 'the disk is full' },
  'recording.recovered': { session: 'S1' },
  'recording.lost': { session: 'S1', reason: 'the disk is full', consequence: 'ends' },
  'recording.deleted': {
    session: 'S1',
    reason: 'its time is over',
    bytes: 1,
    startedAt: '2026-01-01T00:00:00.000Z',
    identity: 'agents/worker',
    resource: 'agents/orders',
    role: 'reader',
  },
  'configuration.applied': { revision: 'abc', before: 'abd' },
  'configuration.refused': { revision: 'abc', problems: ['a.yaml:1: wrong'] },
}
