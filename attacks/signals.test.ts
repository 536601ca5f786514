import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { seconds } from '@firebreak/policy'
import { decideRequest, isFinished, listRequests } from '@firebreak/sidecar'
import type pg from 'pg'
import { parse } from 'yaml'
import { anyEvent } from '../test/audit-trail.ts'
import { ManualClock } from '../test/manual-clock.ts'
import { attacksDirectory, Guard, Shop } from '../test/shop.ts'

interface Step {
  readonly sql?: string
  readonly values?: readonly string[]
  readonly times?: number
  readonly from?: number
  readonly fails?: string
  readonly as?: string
  readonly pass?: string
  readonly at?: string
  readonly decide?: 'Approved' | 'Denied'
}

interface Script {
  readonly name: string
  readonly setup?: string
  readonly signals: readonly object[]
  readonly raises?: readonly string[]
  readonly says?: string
  readonly steps: readonly Step[]
}

const { attacks, benign } = parse(readFileSync(new URL('signals.yaml', attacksDirectory), 'utf8')) as {
  attacks: readonly Script[]
  benign: readonly Script[]
}
const policy = readFileSync(new URL('signals-policy/firebreak.yaml', attacksDirectory), 'utf8')
const aDay = 86_400_000

describe('signals', function () {
  this.timeout(300_000)
  let shop: Shop

  before(async () => {
    shop = await Shop.start()
    await shop.create('template')
    await shop.admin(
      'template',
      `CREATE TABLE public.parts AS SELECT n AS id, 'part ' || n AS name FROM generate_series(1, 5000) n;
       CREATE TABLE public.prices AS SELECT n AS id, n * 3 AS price FROM generate_series(1, 300) n;
       CREATE TABLE public.events AS SELECT n AS id FROM generate_series(1, 30000) n;
       ANALYZE`,
    )
  })
  after(() => shop[Symbol.asyncDispose]())
  beforeEach(async () => {
    await shop.admin('postgres', 'DROP DATABASE IF EXISTS shop WITH (FORCE)')
    await shop.copy('template', 'shop')
  })

  for (const script of attacks)
    it(`tell of ${script.name}`, async () => {
      const found = await play(shop, script)
      assert.deepEqual(
        found.map(({ kind }) => kind),
        script.raises,
        JSON.stringify(found),
      )
      const [{ explanation = '', evidence = [] } = {}] = found as {
        explanation?: string
        evidence?: string[]
      }[]
      assert.ok(explanation.includes(script.says ?? ''), explanation)
      assert.ok(evidence.length > 0, 'it names its evidence')
    })

  for (const script of benign)
    it(`say nothing of ${script.name}`, async () => {
      assert.deepEqual(await play(shop, script), [])
    })
})

/** @returns what the audit trail says was found; every reference that it names is one of the trail's. */
async function play(
  shop: Shop,
  { signals, setup, steps, raises = [] }: Script,
): Promise<Readonly<Record<string, unknown>>[]> {
  if (setup !== undefined) await shop.admin('shop', setup)
  const clock = new ManualClock()
  const text = policy
    .replace('ADDRESS', `127.0.0.1:${shop.postgres.port}`)
    .replace('SIGNALS', JSON.stringify(signals))
  await using guard = await Guard.start({ 'firebreak.yaml': text }, shop.postgres.password, { clock })
  const clients = new Map<string, pg.Client>()
  let sessions = 0
  const forget = async (): Promise<void> => {
    for (const client of clients.values()) await client.end().catch(() => {})
    clients.clear()
  }
  for (const step of steps) {
    if (step.pass !== undefined || step.at !== undefined) {
      await forget()
      clock.pass(
        step.pass === undefined ? untilWednesday(clock.wall(), step.at ?? '') : seconds(step.pass) * 1_000,
      )
    } else if (step.decide) await decideAll(guard, step.decide)
    else {
      const role = step.as ?? 'agent'
      const known = clients.get(role)
      const client = known ?? (await shop.connect(guard.address, 'shop', role))
      if (!known) sessions++
      clients.set(role, client)
      await run(client, step)
    }
  }
  await forget()
  await guard.auditLines('session.end', sessions)
  await guard.auditLines('signal', raises.length)
  const lines = await guard.auditLines(anyEvent)
  const known = new Set(
    lines.flatMap(({ event, reference, request }) => (event === 'signal' ? [] : [reference, request])),
  )
  const found = lines.filter(({ event, action }) => event === 'signal' && action !== undefined)
  for (const { evidence } of found)
    for (const reference of evidence as string[])
      assert.ok(known.has(reference), `${reference} is in the trail`)
  return [...found]
}

async function run(client: pg.Client, { sql = '', values, times = 1, from = 1, fails }: Step): Promise<void> {
  for (let n = from; n < from + times; n++) {
    const fill = (text: string): string => text.replaceAll('{n}', String(n))
    const query = client.query(fill(sql), values?.map(fill))
    if (fails === undefined) await query
    else
      await assert.rejects(query, (error: Error & { code?: string }) => {
        assert.ok(`${error.code} ${error.message}`.includes(fails), `${error.code} ${error.message}`)
        return true
      })
  }
}

async function decideAll({ directory }: Guard, decision: 'Approved' | 'Denied'): Promise<void> {
  const state = join(directory, 'approvals')
  for (const request of await listRequests(state)) {
    if (isFinished(request)) continue
    const { kind } = await decideRequest(state, request.metadata.name, { decision, reason: 'so' })
    assert.equal(kind, 'decided')
  }
}

function untilWednesday(now: number, time: string): number {
  const [hours = 0, minutes = 0] = time.split(':').map(Number)
  const midnight = Math.ceil(now / aDay) * aDay
  const day = new Date(midnight).getUTCDay()
  return midnight + ((3 - day + 7) % 7) * aDay + (hours * 60 + minutes) * 60_000 - now
}
