import assert from 'node:assert/strict'
import type { SignalRule } from '@firebreak/policy'
import type { SignalEvent } from './events.ts'
import { rulesOf, type Told, told } from './testdata/told.ts'
import { type Found, Watch } from './watch.ts'

const second = 1_000
const minute = 60 * second
const hour = 60 * minute
const day = 24 * hour
/** A Monday. */
const start = Date.parse('2026-03-02T00:00:00Z')

const everyKind = [
  'repeatedApprovalRequests',
  'probing',
  'tampering',
  'egress',
  'maskingExceptions',
  'idleThenBurst',
  'firstSeen',
  'volumeSpike',
  'rowHarvest',
  'tokenMisuse',
  'childActsAsParent',
] as const
/** With every default. */
const rules = rulesOf(everyKind.map((kind) => ({ kind })))
const inOffice = rulesOf([
  ...everyKind.map((kind) => ({ kind })),
  {
    kind: 'offHours',
    hours: {
      timeZone: 'Europe/Vienna',
      days: ['Mon', 'Tue', 'Wed', 'Thu', 'Fri'],
      from: '07:00',
      to: '19:00',
    },
  },
])
/** Rows of the tables, where the server has counted them. */
const sizes: Readonly<Record<string, number>> = {
  'public.customers': 40_000,
  'public.orders': 120_000,
  'public.countries': 249,
  'public.tickets': 90_000,
}

interface Happening {
  readonly at: number
  readonly who: string
  readonly event: SignalEvent
}

/** Mulberry32: the same days on every run. */
function chance(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** What a team's agents do on one day. */
function* ordinaryDay(date: number): Generator<Happening> {
  const random = chance(date)
  const upTo = (most: number): number => Math.floor(random() * most)
  const weekday = new Date(start + date * day).getUTCDay()
  const midnight = start + date * day
  const stamp = new Date(midnight).toISOString().slice(0, 10).replaceAll('-', '_')
  const happen = (who: string, at: number, event: Told | SignalEvent): Happening => ({
    at: midnight + at,
    who,
    event: 'kind' in event ? event : told(event),
  })

  // the nightly load reads whole tables page by page, and writes the day's partition; now and then the network fails it
  for (let page = 0; page < 240; page++) {
    const at = 2 * hour + page * 5 * second
    const read = { object: 'public.orders', text: `… WHERE id > ${page}00 ORDER BY id LIMIT 500`, rows: 500 }
    if (random() < 0.02) {
      const error = { code: '08006', message: 'the connection ended before the command did' }
      yield happen('etl', at, { ...read, error })
    }
    yield happen('etl', at + second, read)
  }
  yield happen('etl', 2.5 * hour, { action: 'sql:create', object: `warehouse.orders_${stamp}`, rows: 0 })
  for (let batch = 0; batch < 60; batch++)
    yield happen('etl', 2.5 * hour + batch * 10 * second, {
      action: 'sql:insert',
      object: `warehouse.orders_${stamp}`,
      text: `batch ${batch}`,
      rows: 2_000,
    })
  for (let turn = 0; turn < upTo(4); turn++) {
    const words = 'A client was refused: the token expired 2 s ago'
    yield happen('etl', 2 * hour + turn * hour, {
      kind: 'misuse',
      of: 'token',
      weight: 'late',
      reference: 'R',
      words,
    })
  }

  // reports in office hours; the first of a month is a large one
  if (weekday > 0 && weekday < 6)
    for (let hourOfDay = 7; hourOfDay < 17; hourOfDay++)
      for (let report = 0; report < 15; report++) {
        const object = ['public.orders', 'public.customers', 'public.countries', 'public.tickets'][report % 4]
        const rows = date % 28 === 0 ? 900 + upTo(400) : 50 + upTo(400)
        yield happen('reports', hourOfDay * hour + report * 3 * minute, {
          object: object ?? '',
          text: `report ${report}`,
          rows,
        })
      }

  // support answers tickets around the clock, most by day: bursts of lookups by key
  for (let ticket = 0; ticket < 260; ticket++) {
    const at = random() < 0.15 ? random() * day : 7 * hour + random() * 12 * hour
    const customer = upTo(40_000)
    const lookups = 3 + upTo(8)
    for (let lookup = 0; lookup < lookups; lookup++)
      yield happen('support', at + lookup * 400, {
        object: ['public.customers', 'public.orders', 'public.tickets'][lookup % 3] ?? '',
        values: [String(customer), String(lookup)],
        rows: 1 + upTo(5),
      })
    // a mistake that it makes again and again
    if (random() < 0.1)
      for (let retry = 0; retry < 3; retry++)
        yield happen('support', at + 5 * second + retry * second, {
          action: 'sql:update',
          object: 'public.customers',
          effect: 'deny',
        })
    if (random() < 0.02) yield happen('support', at + 9 * second, { effect: 'deny', byMask: true })
    if (random() < 0.05) {
      const signature = `sql:delete on table public.${['carts', 'drafts', 'notes'][upTo(3)]}`
      yield happen('support', at + 10 * second, { kind: 'asked', request: `support-${ticket}`, signature })
      if (random() < 0.2)
        yield happen('support', at + 40 * second, { kind: 'denied', request: `support-${ticket}`, signature })
    }
  }
  // its libraries would like to tell their makers how they are
  for (let turn = 0; turn < 24; turn++)
    yield happen('support', turn * hour, {
      kind: 'egress',
      what: `${['telemetry.example', 'updates.example'][turn % 2]} A`,
      words: 'not allowed',
    })

  // migrations twice a week, with rights for a while: new tables, other roles' rights, backfills
  if (weekday === 2 || weekday === 4) {
    const at = 13 * hour + upTo(60) * minute
    const table = `public.feature_${letters(date)}`
    const elevated = true
    yield happen('migrations', at, { object: 'public.schema_versions', elevated })
    yield happen('migrations', at + second, { action: 'sql:create', object: table, elevated, rows: 0 })
    yield happen('migrations', at + 2 * second, {
      action: 'sql:alter',
      object: 'public.orders',
      elevated,
      rows: 0,
    })
    yield happen('migrations', at + 3 * second, { action: 'sql:grant', object: table, elevated, rows: 0 })
    for (let batch = 0; batch < 300; batch++)
      yield happen('migrations', at + 4 * second + batch * 200, {
        action: 'sql:update',
        object: 'public.orders',
        text: `backfill ${batch}`,
        elevated,
        rows: 1_000,
      })
    yield happen('migrations', at + 5 * minute, {
      object: 'public.schema_versions_next',
      error: { code: '42P01', message: 'relation "schema_versions_next" does not exist' },
      elevated,
    })
  }

  // something asks every ten seconds whether the database is there; it was restarted at noon
  for (let beat = 0; beat < day / (10 * second); beat++) {
    const at = beat * 10 * second
    const restarting = at >= 12 * hour && at < 12 * hour + 3 * minute
    yield happen('health', at, {
      object: 'public.heartbeat',
      ...(restarting && { error: { code: '57P03', message: 'the database system is starting up' } }),
    })
  }
}

/** Days of one agent in another: where the digits are one thing, the letters are not. */
function letters(number: number): string {
  return [...String(number)].map((digit) => 'abcdefghij'[Number(digit)]).join('')
}

interface Heard {
  readonly who: string
  readonly at: number
  readonly found: Found
}

/** Runs days through what is watched of each agent. @param more what happens besides. */
function live(
  days: number,
  more: readonly Happening[] = [],
): { readonly told: Heard[]; readonly commands: number } {
  const watches = new Map<string, Watch>()
  const heard: Heard[] = []
  let commands = 0
  for (let date = 0; date < days; date++) {
    const from = start + date * day
    const besides = more.filter(({ at }) => at >= from && at < from + day)
    const happenings = [...ordinaryDay(date), ...besides].sort((a, b) => a.at - b.at)
    for (const { at, who, event } of happenings) {
      const watch = watches.get(who) ?? new Watch(at)
      watches.set(who, watch)
      if (event.kind === 'command') commands++
      const inForce: readonly SignalRule[] = who === 'reports' ? inOffice : rules
      const now = { wall: at, monotonic: at - start }
      const tell = (happened: SignalEvent): void => {
        const found = watch.observe(inForce, happened, now, (object) =>
          tell({ kind: 'size', resource: 'agents/shop', object, rows: sizes[object] }),
        )
        heard.push(...found.map((one) => ({ who, at, found: one })))
      }
      tell(event)
    }
  }
  return { told: heard, commands }
}

function inWords({ who, at, found }: Heard): string {
  return `${new Date(at).toISOString()} ${who}: ${found.rule.kind}: ${found.finding.explanation}`
}

describe('a benign workload', function () {
  this.timeout(300_000)
  const days = 15

  it('raises no alert: while it is learned, over two weeks, and on the day after', () => {
    const { told: all, commands } = live(days)
    console.log(
      `      ${days} days of 5 agents, ${commands} commands, all 12 signals: ${all.length} false alerts`,
    )
    assert.deepEqual(all.map(inWords), [])
  })

  const night = start + (days - 1) * day + 3 * hour
  const attacks: readonly {
    readonly name: string
    readonly who: string
    readonly kinds: readonly string[]
    readonly events: readonly (Told | SignalEvent)[]
  }[] = [
    {
      name: 'the support bot collects customers',
      who: 'support',
      kinds: ['volumeSpike', 'rowHarvest'],
      events: Array.from({ length: 9_000 }, (_, n) => ({ object: 'public.customers', values: [`${n}`] })),
    },
    {
      name: 'the health check reads payrolls',
      who: 'health',
      kinds: ['firstSeen'],
      events: [{ object: 'private.payroll' }],
    },
    {
      name: 'the reports are run at night',
      who: 'reports',
      kinds: ['offHours'],
      events: [{ object: 'public.orders', text: 'report 1' }],
    },
    {
      name: 'the health check dumps what it can',
      who: 'health',
      kinds: ['volumeSpike'],
      events: [{ object: 'public.heartbeat', rows: 60_000 }],
    },
    {
      name: 'the support bot tries doors',
      who: 'support',
      kinds: ['probing'],
      events: Array.from({ length: 12 }, (_, n) => ({
        object: `private.${letters(n)}`,
        effect: 'deny' as const,
      })),
    },
    {
      name: 'the load asks for a program',
      who: 'etl',
      kinds: ['tampering'],
      events: [{ action: 'sql:program', object: 'program sh', effect: 'deny' }],
    },
    {
      name: 'the support bot tells a stranger by names',
      who: 'support',
      kinds: ['egress'],
      events: Array.from({ length: 40 }, (_, n) => ({
        kind: 'egress' as const,
        what: `${letters(n)}.evil.example TXT`,
        words: 'w',
      })),
    },
  ]
  for (const { name, who, kinds, events } of attacks)
    it(`shows when ${name}`, () => {
      const more = events.map((event, index) => ({
        at: night + index * 100,
        who,
        event: 'kind' in event ? event : told(event),
      }))
      const { told: all } = live(days, more)
      assert.ok(all.length > 0, 'it is seen')
      assert.deepEqual(
        [...new Set(all.map(({ found }) => found.rule.kind))],
        kinds,
        all.map(inWords).join('\n'),
      )
      assert.ok(all.every((one) => one.who === who))
    })
})
