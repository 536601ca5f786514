import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { StandaloneEvent } from '@firebreak/sidecar'
import { manifests } from '../../test/policies.ts'
import { Guard, Shop } from '../../test/shop.ts'

type Unmatched = Extract<StandaloneEvent, { kind: 'classifiesNothing' }>

describe('Names that a resource classifies', function () {
  this.timeout(60_000)
  let shop: Shop
  let guard: Guard | undefined
  let events: StandaloneEvent[]

  before(async () => {
    shop = await Shop.start()
    await shop.create('shop')
  })
  after(() => shop[Symbol.asyncDispose]())
  afterEach(async () => {
    await guard?.[Symbol.asyncDispose]()
    guard = undefined
  })

  const text = (columns: string, database?: string): string =>
    manifests({
      address: `${shop.postgres.host}:${shop.postgres.port}`,
      ...(database !== undefined && { database }),
      classification: `[{tags: [pii], columns: [${columns}]}]`,
    })

  async function guarded(columns: string, database?: string): Promise<Guard> {
    events = []
    guard = await Guard.start({ 'firebreak.yaml': text(columns, database) }, shop.postgres.password, {
      onEvent: (event) => void events.push(event),
    })
    return guard
  }

  async function query({ address }: Guard, sql: string, database = 'shop'): Promise<unknown[]> {
    const client = await shop.connect(address, database)
    try {
      return (await client.query(sql)).rows
    } finally {
      await client.end()
    }
  }

  const told = (): string[] =>
    events
      .filter((event): event is Unmatched => event.kind === 'classifiesNothing')
      .map(({ doubt: { place, classified, suggestion } }) => `${place} ${classified} ${suggestion}`)

  async function until(condition: () => boolean): Promise<void> {
    for (let tries = 0; tries < 400 && !condition(); tries++)
      await new Promise((resolve) => setTimeout(resolve, 50))
    assert.ok(condition(), JSON.stringify(told()))
  }

  it('and does not have are told once, with what may be meant, and the session goes on', async () => {
    const gateway = await guarded('public.customers.emial, public.customers.email', 'shop')
    assert.deepEqual(await query(gateway, 'SELECT 1 AS one'), [{ one: 1 }])
    assert.deepEqual(await query(gateway, 'SELECT 2 AS two'), [{ two: 2 }])
    assert.deepEqual(told(), ['firebreak.yaml:10 public.customers.emial public.customers.email'])
    const lines = await gateway.auditLines('classification.unmatched')
    assert.deepEqual(
      lines.map(({ resource, classified, place, suggestion }) => [resource, classified, place, suggestion]),
      [['default/shop', 'public.customers.emial', 'firebreak.yaml:10', 'public.customers.email']],
    )
  })

  it('are compared exactly, as the server stores them; what has wildcards may match nothing yet', async () => {
    await query(
      await guarded(
        '"public.Customers.email", "public.custmers", "public.*.nothing", "public.Weird Name.drop table", private.payroll, "pg_catalog.pg_authid.rolpassword", private, directory.contact',
        'shop',
      ),
      'SELECT 1',
    )
    assert.deepEqual(told(), [
      'firebreak.yaml:10 public.Customers.email public.customers.email',
      'firebreak.yaml:10 public.custmers public.customers',
      'firebreak.yaml:10 directory.contact undefined',
    ])
  })

  it('are looked for again when definitions change, and when the configuration does', async () => {
    const gateway = await guarded('public.orders.total, public.customers.phone', 'shop')
    const client = await shop.connect(gateway.address, 'shop')
    assert.deepEqual(told(), ['firebreak.yaml:10 public.customers.phone undefined'])
    await shop.admin('shop', 'ALTER TABLE orders RENAME total TO totals')
    await until(() => told().length === 2)
    assert.deepEqual(told().slice(1), ['firebreak.yaml:10 public.orders.total public.orders.totals'])
    writeFileSync(
      join(gateway.directory, 'firebreak.yaml'),
      text('public.customers.names, public.orders.total', 'shop'),
    )
    await until(() => told().length === 3)
    assert.deepEqual(told().slice(2), ['firebreak.yaml:10 public.customers.names public.customers.name'])
    await client.end()
    await shop.admin('shop', 'ALTER TABLE orders RENAME totals TO total')
  })

  it('may be in any of the databases, where the resource is not bound to one', async () => {
    await shop.admin('postgres', 'CREATE DATABASE other')
    await shop.admin('other', 'CREATE TABLE only_here (secret text)')
    const gateway = await guarded('public.only_here.secret, public.customers.email')
    await query(gateway, 'SELECT 1', 'other')
    assert.deepEqual(told(), ['firebreak.yaml:9 public.customers.email undefined'])
    await query(gateway, 'SELECT 1')
    await query(gateway, 'SELECT 1', 'other')
    assert.equal(told().length, 1)
  })
})
