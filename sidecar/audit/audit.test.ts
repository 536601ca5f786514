import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { SessionTerms } from '@firebreak/policy'
import { mayHoldSecret, normalizeSql } from '../protocols/postgresql/analysis/normalize.ts'
import type { CommandAudit } from '../session.ts'
import { Audit } from './audit.ts'
import type { Notices } from './lines.ts'
import { allowed, command, ended, everything, notices, proof, who } from './testdata/every-line.ts'

type Line = Readonly<Record<string, unknown>>

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
