import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { ApprovalRequest } from '@firebreak/crds'
import { decideRequest, isFinished, listRequests } from '@firebreak/sidecar'
import type pg from 'pg'
import { parse } from 'yaml'
import { eventuallyWith } from '../test/eventually.ts'
import { manifests } from '../test/policies.ts'
import { attacksDirectory, Guard, Shop } from '../test/shop.ts'

interface Extended {
  readonly extended: string
  readonly values: readonly (string | null)[]
  readonly binary?: boolean
}

type Message = string | Extended

interface Replay {
  readonly name: string
  readonly approved: readonly Message[]
  readonly attack: readonly Message[]
  /** Run by the owner beforehand, and in between. */
  readonly setup?: string
  readonly then?: string
  /** Run by the owner in between. */
  readonly between?: readonly string[]
  /** What a statement is prepared as, first and afterwards. */
  readonly prepare?: readonly [string, string]
}

interface FileAttack {
  readonly name: string
  readonly decide?: string
  readonly replace?: string
  readonly by?: string
}

const { replays, uses, files } = parse(readFileSync(new URL('approvals.yaml', attacksDirectory), 'utf8')) as {
  replays: readonly Replay[]
  uses: readonly Pick<Replay, 'name' | 'approved'>[]
  files: readonly FileAttack[]
}

const rules = (groups: string): string => `    - {name: anything, match: {actions: ["sql:*"]}, effect: allow}
    - {name: ask, match: {actions: ["sql:delete", "sql:drop"]}, effect: requireApproval, approval: {whileWaiting: fail${groups}}}
`

const eventually = eventuallyWith(() => 'nobody has looked at the file', 60)

describe('attacks on approvals', function () {
  this.timeout(300_000)
  let shop: Shop
  let guard: Guard

  before(async () => {
    shop = await Shop.start()
    await shop.create('template')
  })
  after(() => shop[Symbol.asyncDispose]())
  beforeEach(async () => {
    await shop.admin('postgres', 'DROP DATABASE IF EXISTS shop WITH (FORCE)')
    await shop.copy('template', 'shop')
  })
  afterEach(() => guard[Symbol.asyncDispose]())

  const start = async (groups = ''): Promise<void> => {
    const address = `127.0.0.1:${shop.postgres.port}`
    const text = manifests({ address, database: 'shop', rules: rules(groups) })
    guard = await Guard.start({ 'firebreak.yaml': text }, shop.postgres.password)
  }

  const directory = (): string => join(guard.directory, 'approvals')

  async function pending(): Promise<readonly ApprovalRequest[]> {
    return (await listRequests(directory())).filter(({ status }) => status?.state === 'Pending')
  }

  function send(agent: pg.Client, message: Message): Promise<pg.QueryResult> {
    if (typeof message === 'string') return agent.query(message)
    const { extended: text, values, binary } = message
    // a Buffer is sent in binary format
    const sent = values.map((value) => (binary && value !== null ? Buffer.from(value) : value))
    return agent.query({ text, values: sent })
  }

  /** Sends messages, the last of which is held. @returns the request. */
  async function held(agent: pg.Client, messages: readonly Message[]): Promise<string> {
    for (const message of messages.slice(0, -1)) await send(agent, message)
    const last = messages.at(-1)
    assert.ok(last)
    const error: unknown = await send(agent, last).then(
      () => assert.fail('it has run'),
      (reason: unknown) => reason,
    )
    const name = /^pending approval as approvalrequest\/(\S+)$/.exec((error as Error).message)?.[1]
    assert.ok(name, (error as Error).message)
    return name
  }

  async function approve(name: string): Promise<void> {
    const result = await decideRequest(directory(), name, { decision: 'Approved' })
    assert.equal(result.kind, 'decided', JSON.stringify(result))
  }

  /** What has to be approved on the way. */
  async function through(agent: pg.Client, message: Message): Promise<void> {
    await approve(await held(agent, [message]))
    await send(agent, message)
  }

  for (const { name, approved, attack, prepare, setup, then, between = [] } of replays)
    it(`do not replay: ${name}`, async () => {
      if (setup !== undefined) await shop.admin('shop', setup)
      await start()
      const agent = await shop.connect(guard.address, 'shop')
      const intruder = await shop.connect(guard.address, 'shop')
      if (prepare) {
        await through(agent, prepare[0])
        await through(intruder, prepare[1])
      }
      const first = await held(agent, approved)
      await approve(first)
      for (const sql of [...(then === undefined ? [] : [then]), ...between]) await shop.admin('shop', sql)
      if (between.length > 0) await delay(6_000)
      const before = await shop.fingerprint('shop')
      const second = await held(intruder, attack)
      assert.notEqual(second, first)
      assert.equal(await shop.fingerprint('shop'), before)
      await Promise.all([agent.end(), intruder.end()])
    })

  for (const { name, approved } of uses)
    it(`run what was approved, once: ${name}`, async () => {
      await start()
      const agent = await shop.connect(guard.address, 'shop')
      const first = await held(agent, approved)
      assert.equal(await held(agent, approved), first)
      await approve(first)
      const other = await shop.connect(guard.address, 'shop')
      for (const message of approved) await send(other, message)
      assert.notEqual(await held(agent, approved), first)
      await Promise.all([agent.end(), other.end()])
    })

  for (const { name, decide, replace, by = '' } of files)
    it(`are not made in the file: ${name}`, async () => {
      await start(', groups: [approvers-of-the-attacks]')
      const agent = await shop.connect(guard.address, 'shop')
      const request = await held(agent, ['DELETE FROM carts WHERE id = 1'])
      const before = await shop.fingerprint('shop')
      const path = join(directory(), `${request}.yaml`)
      let text = readFileSync(path, 'utf8')
      if (replace !== undefined) {
        assert.ok(text.includes(replace), text)
        text = text.replace(replace, by)
      }
      if (decide !== undefined) text = text.replace('  requestedAt:', `  decision: ${decide}\n  requestedAt:`)
      writeFileSync(path, text)
      await eventually(
        () => (readFileSync(path, 'utf8') === text ? 'as the attacker wrote it' : 'as it was'),
        /as it was/,
      )
      assert.equal(await held(agent, ['DELETE FROM carts WHERE id = 1']), request)
      assert.equal(await shop.fingerprint('shop'), before)
      const [waiting] = await pending()
      assert.equal(waiting?.metadata.name, request)
      assert.ok(!isFinished(waiting) && waiting.spec.decision === undefined)
      await guard.auditLines('approval.refused')
      await agent.end()
    })
})
