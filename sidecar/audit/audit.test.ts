import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Command, Decision, SessionTerms, Touch } from '@firebreak/policy'
import { mayHoldSecret, normalizeSql } from '../protocols/postgresql/analysis/normalize.ts'
import type { CommandAudit } from '../session.ts'
import { Audit, type SessionIdentity } from './audit.ts'
import type { AccountLine, ApprovalLine, DelegationLine, Notices, ProofLine, SessionEnd } from './lines.ts'

type Line = Readonly<Record<string, unknown>>

const who: SessionIdentity = {
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

function command(text: string, more: Partial<Command> = {}): Command {
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
const allowed: Decision = { ...explained, effect: 'allow', masks: [] }

/** An entry in which nothing is left out. */
const everything: CommandAudit & { readonly outcome: Required<CommandAudit['outcome']> } = {
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
    error: { code: '42501', message: 'denied' },
  },
}

const proof: Required<ProofLine> = {
  kind: 'token',
  issuer: 'https://issuer.example',
  subject: 'system:serviceaccount:agents:worker',
  tokenId: 'T1',
  issuedAt: '2026-01-01T00:00:00.000Z',
  expiresAt: '2026-01-01T01:00:00.000Z',
  pod: { name: 'worker-1', uid: 'U1' },
  root: { kind: 'loopback' },
}
const ended: Required<SessionEnd> = { commands: 1, seconds: 2, reason: 'expired' }
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
const notices: { readonly [Event in keyof Notices]: Required<Notices[Event]> } = {
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
    explanation: 'A client was refused.',
    reference: 'R2',
    session: 'S1',
    identity: 'agents/worker',
    resource: 'agents/orders',
    remote: '10.0.0.1',
    request: 'worker-bcdfg',
    chain: ['agents/planner', 'agents/worker'],
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
  'recording.started': { session: 'S1', signer: 'K1', place: '/recordings' },
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

async function linesOf(write: (audit: Audit) => void): Promise<readonly Line[]> {
  const directory = mkdtempSync(join(tmpdir(), 'firebreak-audit-'))
  try {
    const path = join(directory, 'audit.jsonl')
    const events = { failed: assert.fail, recovered() {}, undelivered() {}, delivered() {} }
    const audit = await Audit.open(
      [{ kind: 'file', path }],
      { normalize: normalizeSql, mayHoldSecret },
      events,
    )
    write(audit)
    assert.equal(await audit.close(), 0)
    const lines = readFileSync(path, 'utf8').split('\n')
    assert.equal(lines.pop(), '')
    // the run's own first and last line
    return lines.slice(1, -1).map((line) => JSON.parse(line) as Line)
  } finally {
    rmSync(directory, { recursive: true })
  }
}

async function lineOf(
  entry: Partial<CommandAudit>,
  text: SessionTerms['audit']['text'] = 'full',
): Promise<Line> {
  const [line] = await linesOf((audit) =>
    audit.command(who, { ...everything, ...entry }, { text, onFailure: 'block' }),
  )
  assert.ok(line)
  return line
}

/** Fields by event, as docs/audit.md has them. */
function documented(): Map<string, Set<string>> {
  const text = readFileSync(new URL('../../docs/audit.md', import.meta.url), 'utf8')
  const events = ['command', 'session.start', 'session.end', ...Object.keys(notices)]
  const fields = new Map(events.map((event) => [event, new Set<string>()]))
  const [table = ''] = text.slice(text.indexOf('| field |')).split('\n\n')
  for (const row of table.split('\n').filter((line) => line.startsWith('| `'))) {
    const [, names = '', places = ''] = row.split('|')
    for (const place of places.split(',').map((word) => word.trim())) {
      const meant = events.filter((event) => place === 'all' || event === place || matches(event, place))
      assert.ok(meant.length > 0, `there is no event ${place}`)
      for (const event of meant)
        for (const [, name = ''] of names.matchAll(/`(\w+)`/g)) fields.get(event)?.add(name)
    }
  }
  return fields
}

/** `session.*` */
function matches(event: string, place: string): boolean {
  return place.endsWith('.*') && event.startsWith(place.slice(0, -1))
}

describe('audit lines', () => {
  it('have the fields that docs/audit.md describes, and no others', async () => {
    const lines = await linesOf((audit) => {
      audit.command(who, everything, { text: 'full', onFailure: 'block' })
      audit.session('session.start', who, { proof })
      audit.session('session.end', who, ended)
      for (const event of Object.keys(notices) as (keyof Notices)[]) audit.notice(event, notices[event])
    })
    const written = new Map(lines.map((line) => [String(line.event), Object.keys(line).sort()]))
    const described = new Map([...documented()].map(([event, fields]) => [event, [...fields].sort()]))
    assert.deepEqual(written, described)
  })

  it('say who did what, what was decided and what came of it', async () => {
    const { time, source, previous, ...line } = await lineOf({})
    assert.match(String(source), /^[0-9A-Z]{26}$/)
    assert.match(String(previous), /^[0-9a-f]{64}$/)
    assert.match(String(time), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
    assert.deepEqual(line, {
      v: 1,
      seq: 2,
      event: 'command',
      reference: 'R1',
      session: 'S1',
      identity: 'agents/worker',
      chain: ['agents/planner', 'agents/worker'],
      resource: 'agents/orders',
      role: 'reader',
      text: 'select 2',
      parameters: ['one', null],
      digest: hash('sha256', 'select 2'),
      actions: ['sql:select'],
      objects: ['table public.customers (ssn)', 'table public.orders'],
      opaque: ['it runs text'],
      decision: 'deny',
      policy: 'agents/guard',
      rule: 'keep',
      reason: 'that is kept',
      alerts: ['agents/guard/watch'],
      revision: 'abc',
      rows: 1,
      bytes: 2,
      masked: ['ssn'],
      milliseconds: 12.346,
      approval: 'worker-bcdfg',
      error: { code: '42501', message: 'denied' },
    })
  })

  it('leave out what there is nothing to say about', async () => {
    const line = await lineOf({
      command: command('select 1'),
      decision: { ...allowed, alerts: [] },
      parameters: [],
      outcome: { rows: 0, bytes: 0, maskedFields: [], milliseconds: 1 },
    })
    for (const field of ['parameters', 'opaque', 'reason', 'alerts', 'masked', 'error'])
      assert.equal(field in line, false, field)
  })

  it('are one line each, whatever the text', async () => {
    const text = "select 'a\nb\r\u2028\u0000\ud800'"
    assert.equal((await lineOf({ text })).text, text)
  })

  it('hold no constants where the policy says so', async () => {
    const text = "prepare p as select 'hunter2', 42 -- hunter2"
    const entry: Partial<CommandAudit> = {
      command: command(text),
      text,
      parameters: ['hunter2'],
      outcome: { ...everything.outcome, error: { code: '22P02', message: 'invalid input: "hunter2"' } },
    }
    for (const [policy, shown] of [
      ['normalized', 'prepare p as select $1, $2'],
      ['digest', undefined],
    ] as const) {
      const line = await lineOf(entry, policy)
      assert.equal(line.text, shown)
      assert.equal(line.digest, hash('sha256', text))
      assert.deepEqual(line.error, { code: '22P02' })
      assert.doesNotMatch(JSON.stringify(line), /hunter2/)
    }
  })

  it('never hold the password of a role, a user mapping or a subscription, nor its digest', async () => {
    for (const [kind, text, shown] of [
      ['role', "alter role app password 'hunter2'", 'alter role app password $1'],
      ['user mapping', "create user mapping for a server s options (password 'hunter2')", undefined],
      ['subscription', "create subscription s connection 'password=hunter2' publication p", undefined],
      ['server', "alter system set primary_conninfo = 'password=hunter2'", undefined],
      ['role', "alter role app password 'hunter2", ''],
    ] as const) {
      const entry: Partial<CommandAudit> = {
        command: command(text, {
          touches: [{ action: 'sql:alter', object: { kind, path: ['x'] }, origin: 'direct' }],
        }),
        text,
        outcome: {
          ...everything.outcome,
          error: { code: '42601', message: `syntax error at or near ${text}` },
        },
      }
      const line = await lineOf(entry)
      if (shown !== undefined) assert.equal(line.text, shown)
      assert.notEqual(line.digest, hash('sha256', text))
      assert.doesNotMatch(JSON.stringify(line), /hunter2/)
    }
  })
})

describe('normalizeSql', () => {
  it('takes the constants and comments out of every kind of statement', () => {
    for (const text of [
      "select E'hunt\\'er2 hunter2', U&'hunter2', b'1', x'2', $$hunter2$$, $a$hunter2$a$, 22.5, .2, 2e2, 0x22",
      "execute p('hunter2', 2)",
      "create view v as select 'hunter2'",
      "comment on table t is 'hunter2'\n'hunter2'",
      "alter table t alter c set default 'hunter2'",
      "copy t to program 'hunter2'",
      'select /* hunter2 /* 2 */ */ 2 -- hunter2',
    ])
      assert.doesNotMatch(normalizeSql(text).replace(/\$[0-9]+/g, ''), /hunter2|[02-9]/, text)
  })

  it('keeps names, and parameters as they are', () => {
    assert.equal(
      normalizeSql('select "a b".é::text, c[2]  from t1\nwhere x = $2 and y = \'z\''),
      'select "a b".é::text, c[$3] from t1 where x = $2 and y = $4',
    )
  })

  it('shows nothing of what it can not read', () => {
    for (const text of [
      "select 'hunter2",
      'select 1\0hunter2',
      '/*'.repeat(80_000),
      `select '${'x'.repeat(200_000)}'`,
    ])
      assert.equal(normalizeSql(text), '')
  })
})
