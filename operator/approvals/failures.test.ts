/** Whoever is killed at whatever moment: an approval is not lost, and nothing runs twice. */
import assert from 'node:assert/strict'
import type pg from 'pg'
import { ApprovalCluster, firebreak, namespace, policy } from '../../test/approval-cluster.ts'
import type { SidecarProcess } from '../../test/sidecar-process.ts'

describe('approvals through failures', function () {
  this.timeout('5m')
  let cluster: ApprovalCluster
  let sidecar: SidecarProcess
  let client: pg.Client
  let carts = 200

  const run = (sql: string, by = client): Promise<string> =>
    by.query(sql).then(
      ({ rowCount }) => `${rowCount} rows`,
      (error: Error) => error.message,
    )
  const state = async (name: string): Promise<string> => (await cluster.request(name)).status?.state ?? ''
  /** Each time it runs there is one more of it. */
  const once = async (): Promise<{ readonly sql: string; readonly runs: () => Promise<number> }> => {
    const id = ++carts
    await cluster.shop.admin('shop', `INSERT INTO carts VALUES (${id}, 0, '[]', 'x')`)
    const counted = `SELECT count(*)::int AS count FROM ran WHERE id = ${id}`
    return {
      sql: `DELETE FROM carts WHERE id = ${id}`,
      runs: async () => (await cluster.shop.admin('shop', counted)).rows[0].count as number,
    }
  }
  const killAll = async (): Promise<void> => {
    for (const name of cluster.replicas) await cluster.killReplica(name)
  }
  let started = 2
  const startOne = (): Promise<void> => cluster.startReplica(`replica-${++started}`)
  const approve = async (name: string): Promise<void> => {
    await cluster.eventually(async () => (await cluster.decide('alice', name, 'Approved')).said, /patched/)
  }

  before(async function () {
    this.timeout('45m')
    cluster = await ApprovalCluster.start()
    await cluster.shop.admin(
      'shop',
      `CREATE TABLE ran (id int);
       CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN INSERT INTO ran VALUES (OLD.id); RETURN NULL; END $$;
       CREATE TRIGGER noted AFTER DELETE ON carts FOR EACH ROW EXECUTE FUNCTION noted()`,
    )
    await cluster.apply(policy('{groups: [dba], expiresAfter: 2m}'))
    sidecar = await cluster.startPod('bot-1')
    client = await cluster.connect(sidecar)
  })
  after(async () => {
    await client?.end().catch(() => {})
    await cluster?.[Symbol.asyncDispose]()
  })

  it('the operator is away between question and answer', async () => {
    const { sql, runs } = await once()
    const running = run(sql)
    const name = await cluster.askedFor(sql)
    await killAll()
    const { status } = await cluster.decide('alice', name, 'Approved')
    assert.notEqual(status, 0, 'who decides can not be proven now')
    assert.equal(await runs(), 0)
    await startOne()
    await approve(name)
    assert.equal(await running, '1 rows')
    assert.equal(await runs(), 1)
  })

  it('the leader is killed, and another replica goes on', async () => {
    await startOne()
    const { sql, runs } = await once()
    const running = run(sql)
    const name = await cluster.askedFor(sql)
    await cluster.eventually(
      async () => String(cluster.replicas.includes(await cluster.leader())),
      /true/,
      60,
    )
    await cluster.killReplica(await cluster.leader())
    await approve(name)
    assert.equal(await running, '1 rows')
    assert.equal(await runs(), 1)
    // and its status is told of by the next one
    await cluster.eventually(
      async () => JSON.stringify((await cluster.request(name)).status?.conditions),
      /"reason":"Used"/,
      60,
    )
  })

  for (const milliseconds of [0, 5, 15, 40, 100])
    it(`all replicas are killed ${milliseconds} ms after the decision`, async () => {
      const { sql, runs } = await once()
      const running = run(sql)
      const name = await cluster.askedFor(sql)
      await approve(name)
      await new Promise((resolve) => setTimeout(resolve, milliseconds))
      await killAll()
      await startOne()
      assert.equal(await running, '1 rows')
      assert.equal(await runs(), 1)
      await cluster.eventually(() => state(name), /^Used$/)
      const lines = (): number => sidecar.audit.split(`"approval.used","request":"${name}"`).length - 1
      await cluster.eventually(() => String(lines() > 0), /true/)
      assert.equal(lines(), 1)
    })

  it('the sidecar is killed before the decision, and the same command uses it afterwards', async () => {
    const { sql, runs } = await once()
    const running = run(sql)
    const name = await cluster.askedFor(sql)
    await sidecar.end('SIGKILL')
    await running
    await approve(name)
    assert.equal(await runs(), 0)
    sidecar = await cluster.startSidecar('bot-1')
    client = await cluster.connect(sidecar)
    assert.equal(await run(sql), '1 rows')
    await cluster.eventually(() => state(name), /^Used$/)
    await cluster.shop.admin('shop', `INSERT INTO carts VALUES (${carts}, 0, '[]', 'x')`)
    void run(sql)
    const asked = async (): Promise<string> =>
      (await cluster.requests())
        .filter(({ spec, metadata }) => spec.command?.text === sql && metadata.name !== name)
        .map(({ metadata }) => metadata.name)
        .join()
    const again = await cluster.eventually(asked, /./)
    await cluster.decide('alice', again, 'Denied')
    assert.equal(await runs(), 1)
  })

  for (const milliseconds of [0, 20, 60])
    it(`the sidecar is killed ${milliseconds} ms after the decision`, async () => {
      const { sql, runs } = await once()
      const running = run(sql)
      const name = await cluster.askedFor(sql)
      await approve(name)
      await new Promise((resolve) => setTimeout(resolve, milliseconds))
      await sidecar.end('SIGKILL')
      await running
      sidecar = await cluster.startSidecar('bot-1')
      client = await cluster.connect(sidecar)
      const used = (await state(name)) === 'Used'
      const again = run(sql)
      if (used) {
        // it ran, or never will: people are asked anew
        const asked = async (): Promise<string> =>
          (await cluster.requests())
            .filter(({ spec, metadata }) => spec.command?.text === sql && metadata.name !== name)
            .map(({ metadata }) => metadata.name)
            .join()
        await cluster.decide('alice', await cluster.eventually(asked, /./), 'Denied')
      }
      await again
      assert.ok((await runs()) <= 1)
      await cluster.eventually(() => state(name), /^Used$/)
    })

  it('without an operator a command waits to its end, and never runs', async () => {
    await cluster.putInForce(policy('{groups: [dba], expiresAfter: 8s}'), sidecar)
    const { sql, runs } = await once()
    const waiting = run(sql)
    const left = await cluster.askedFor(sql)
    await cluster.eventually(() => sidecar.audit, new RegExp(`approval.requested","request":"${left}`))
    await killAll()
    assert.match(await waiting, /expired before it was decided/)
    assert.equal(await runs(), 0)
    const { sql: another, runs: others } = await once()
    assert.match(await run(another), /the approval could not be recorded: the operator can't be reached/)
    assert.equal(await others(), 0)
  })

  it('an elevation ends in time without an operator', async () => {
    await startOne()
    await cluster.apply(policy())
    const words = ['--actions=sql:truncate', '--for=8s', '--reason=fire', '--break-glass', '--json']
    await cluster.eventually(
      () => firebreak(sidecar, 'request-access', '--resource=shop', ...words).catch(String),
      /"Approved"/,
    )
    assert.equal(await run('TRUNCATE carts'), 'null rows')
    await killAll()
    await cluster.eventually(() => run('TRUNCATE carts'), /^(?!null rows)/)
    await startOne()
    await cluster.eventually(
      () => cluster.kubectl('get', 'approvals', '-n', namespace, '-o', 'jsonpath={.items[*].status.state}'),
      /Expired/,
      60,
    )
    assert.doesNotMatch(await run('TRUNCATE carts'), /null rows/)
  })
})
