import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { seconds } from '@firebreak/policy'
import fc from 'fast-check'
import { parse } from 'yaml'
import { ManualClock } from '../../../test/manual-clock.ts'
import { Baseline } from '../baseline.ts'
import type { SignalEvent } from '../events.ts'
import { rulesOf, type SignalSpec, type Told, told } from '../testdata/told.ts'
import { type Found, Watch } from '../watch.ts'
import { DistinctCounter, hashOf } from './distinct.ts'
import { detectorFor } from './index.ts'
import { isOutside, type Local } from './off-hours.ts'
import { RecentSet } from './recent-set.ts'

interface Case {
  readonly name: string
  readonly rule: Pick<SignalSpec, 'kind'> & Partial<SignalSpec>
  readonly sizes?: Readonly<Record<string, number>>
  readonly events: readonly {
    readonly told?: Told
    readonly event?: SignalEvent
    readonly after?: string
    readonly times?: number
  }[]
  readonly finds: readonly string[]
}

const cases = parse(readFileSync(new URL('detectors.test.yaml', import.meta.url), 'utf8')) as Case[]

describe('detectors', () => {
  for (const { name, rule, sizes = {}, events, finds } of cases)
    it(name, () => {
      const [compiled] = rulesOf([rule])
      assert.ok(compiled)
      const clock = new ManualClock()
      const baseline = new Baseline(clock.wall())
      const detector = detectorFor(compiled, baseline)
      const found: string[] = []
      const tell = (event: SignalEvent): void => {
        const now = { wall: clock.wall(), monotonic: clock.monotonic() }
        const seen = detector.observe(event, now)
        if (seen?.kind === 'finding') found.push(seen.explanation)
        if (event.kind === 'command') baseline.learn(event, now.wall)
        if (seen?.kind === 'sizeWanted')
          tell({ kind: 'size', resource: 'agents/shop', object: seen.object, rows: sizes[seen.object] })
      }
      for (const { told: command, event, after, times = 1 } of events) {
        clock.pass(after === undefined ? 0 : seconds(after) * 1_000)
        for (let n = 1; n <= times; n++) {
          const filled = JSON.parse(
            JSON.stringify(command ?? event).replaceAll('{n}', String(n)),
          ) as typeof command & SignalEvent
          tell(command ? told(filled) : filled)
        }
      }
      assert.equal(found.length, finds.length, found.join('\n'))
      for (const [index, part] of finds.entries()) assert.ok(found[index]?.includes(part), found[index])
    })

  it('know every kind', () => {
    const kinds = new Set(cases.map(({ rule }) => rule.kind))
    // which has its own table below
    assert.deepEqual([...kinds, 'offHours'].sort(), [
      'childActsAsParent',
      'egress',
      'firstSeen',
      'idleThenBurst',
      'maskingExceptions',
      'offHours',
      'probing',
      'repeatedApprovalRequests',
      'rowHarvest',
      'tampering',
      'tokenMisuse',
      'volumeSpike',
    ])
  })
})

describe('hours', () => {
  const office = { timeZone: 'UTC', days: ['Mon', 'Fri'], from: '07:00', to: '19:00' } as const
  const night = { timeZone: 'UTC', days: ['Mon'], from: '22:00', to: '06:00' } as const
  const table: readonly [typeof office | typeof night, Local['day'], string, boolean][] = [
    [office, 'Mon', '06:59', true],
    [office, 'Mon', '07:00', false],
    [office, 'Mon', '18:59', false],
    [office, 'Mon', '19:00', true],
    [office, 'Tue', '12:00', true],
    [night, 'Mon', '21:59', true],
    [night, 'Mon', '22:00', false],
    [night, 'Mon', '05:59', true],
    [night, 'Tue', '05:59', false],
    [night, 'Tue', '06:00', true],
    [night, 'Sun', '23:00', true],
  ]
  for (const [hours, day, time, outside] of table)
    it(`${hours.from} to ${hours.to}: ${day} ${time} is ${outside ? 'outside' : 'inside'}`, () => {
      assert.equal(isOutside({ day, time }, { ...hours, days: [...hours.days] }), outside)
    })

  it('follow the zone through the change to summer time', () => {
    const hours = { timeZone: 'Europe/Vienna', days: ['Sun' as const], from: '03:00', to: '04:00' }
    const [rule] = rulesOf([{ kind: 'offHours', hours }])
    assert.ok(rule)
    const at = (time: string): boolean =>
      detectorFor(rule, new Baseline(0)).observe(told(), { wall: Date.parse(time), monotonic: 0 }) ===
      undefined
    // at 02:00 it is 03:00 there
    assert.equal(at('2026-03-29T00:59:00Z'), false)
    assert.equal(at('2026-03-29T01:00:00Z'), true)
    assert.equal(at('2026-03-29T01:59:00Z'), true)
    assert.equal(at('2026-03-29T02:00:00Z'), false)
  })
})

describe('distinct things are counted', () => {
  it('within a few percent, however often each is seen', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 60_000 }), fc.string(), (count, salt) => {
        const counter = new DistinctCounter()
        for (let n = 0; n < count; n++) counter.add(hashOf(`${salt} ${n}`))
        for (let n = 0; n < count; n += 3) counter.add(hashOf(`${salt} ${n}`))
        assert.ok(
          Math.abs(counter.estimate - count) <= Math.max(3, count * 0.15),
          `${counter.estimate} of ${count}`,
        )
      }),
      { numRuns: 60 },
    )
  })

  it('never more of them than there is room for', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.string({ maxLength: 2 }), fc.nat(400))),
        fc.integer({ min: 1, max: 8 }),
        (seen, most) => {
          const set = new RecentSet(1_000, most)
          let now = 0
          for (const [item, pause] of seen) {
            now += pause
            assert.ok(set.add(item, now) <= most)
            assert.ok(set.has(item, now))
          }
          assert.equal(set.has('never seen', now), false)
        },
      ),
    )
  })
})

describe('what is watched of an identity', () => {
  const everything = rulesOf([
    ...(
      [
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
    ).map((kind) => ({ kind, threshold: kind === 'rowHarvest' ? 100 : 100_000 })),
  ])

  it('stays bounded, whatever an agent does', () => {
    const clock = new ManualClock()
    const watch = new Watch(clock.wall())
    const run = (from: number, to: number): void => {
      for (let n = from; n < to; n++) {
        clock.pass(n % 100 === 0 ? 60_000 : 1)
        const name = letters(n)
        const events: SignalEvent[] = [
          told({ object: `public.t${name}`, unmasked: [name], values: [name], action: `sql:${name}` }),
          told({ object: `public.u${name}`, effect: 'deny', byMask: true }),
          told({ action: 'sql:program', object: `program p${name}` }),
          { kind: 'asked', request: name, signature: name },
          { kind: 'denied', request: name, signature: name },
          { kind: 'egress', what: name, words: name },
          { kind: 'misuse', of: 'token', weight: 'ordinary', reference: name, words: name },
        ]
        for (const event of events)
          watch.observe(everything, event, { wall: clock.wall(), monotonic: clock.monotonic() })
      }
    }
    run(0, 30_000)
    const kept = watch.baseline.keep()
    assert.equal(kept.names.length, 4_096)
    assert.equal(kept.unmasked.length, 1_024)
    assert.ok(kept.harvested.length <= 256)
    assert.ok(kept.peaks.every(({ days }) => days.length <= 30))
    const before = JSON.stringify(kept).length
    run(30_000, 40_000)
    assert.ok(JSON.stringify(watch.baseline.keep()).length <= before + 2_000)
  }).timeout(300_000)

  it('is the same after it was written and read', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ object: fc.stringMatching(/^public\.[a-z]{1,3}$/), rows: fc.nat(20_000) }), {
          maxLength: 40,
        }),
        (commands) => {
          const clock = new ManualClock()
          const watch = new Watch(clock.wall())
          const rules = rulesOf([{ kind: 'firstSeen' }, { kind: 'volumeSpike' }])
          for (const command of commands) {
            clock.pass(3_600_000)
            watch.observe(rules, told(command), { wall: clock.wall(), monotonic: clock.monotonic() })
          }
          const kept = watch.baseline.keep()
          const again = new Watch(0, JSON.parse(JSON.stringify(kept)) as typeof kept)
          assert.deepEqual(again.baseline.keep(), kept)
        },
      ),
    )
  })

  it('is told once within the window, and what was counted starts anew when a person has looked', () => {
    const clock = new ManualClock()
    const watch = new Watch(clock.wall())
    const rules = rulesOf([{ kind: 'tampering' }])
    const tamper = (): readonly Found[] =>
      watch.observe(rules, told({ action: 'sql:load', object: 'library x' }), {
        wall: clock.wall(),
        monotonic: clock.monotonic(),
      })
    assert.deepEqual(
      tamper().map(({ untold }) => untold),
      [0],
    )
    assert.deepEqual(
      tamper().map(({ untold }) => untold),
      [undefined],
    )
    watch.startAnew()
    assert.deepEqual(
      tamper().map(({ untold }) => untold),
      [0],
    )
    clock.pass(3_600_001)
    assert.deepEqual(
      tamper().map(({ untold }) => untold),
      [0],
    )
  })
})

/** Digits are one thing for the baseline. */
function letters(n: number): string {
  return [...String(n)].map((digit) => 'abcdefghij'[Number(digit)]).join('')
}
