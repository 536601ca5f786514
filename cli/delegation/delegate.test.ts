import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Agents, orchestratorToken } from '../../test/agents.ts'
import { Shop } from '../../test/shop.ts'

const main = fileURLToPath(new URL('../main.ts', import.meta.url))

describe('firebreak delegate', function () {
  this.timeout(600_000)
  let shop: Shop
  let agents: Agents

  before(async () => {
    shop = await Shop.start()
    await shop.create('shop')
    agents = await Agents.start(shop)
  })
  after(async () => {
    await agents[Symbol.asyncDispose]()
    await shop[Symbol.asyncDispose]()
  })

  interface Ran {
    readonly status: number
    readonly out: string
    readonly err: string
  }
  const firebreak = (token: string, ...words: string[]): Promise<Ran> =>
    new Promise((resolve) => {
      const env = { ...process.env, FIREBREAK_API: agents.socket, FIREBREAK_TOKEN: token }
      execFile(process.execPath, [main, ...words], { env }, (error, out, err) =>
        resolve({ status: typeof error?.code === 'number' ? error.code : 0, out, err }),
      )
    })

  it('writes a token that opens a session with less', async () => {
    const { status, out, err } = await firebreak(
      orchestratorToken,
      'delegate',
      ...[
        '--to',
        'sql-worker',
        '--resource',
        'shop',
        '--role',
        'agent',
        '--actions',
        'sql:select,sql:insert',
      ],
      ...['--objects', 'public.orders', '--max-rows', '2', '--for', '5m'],
    )
    assert.equal(status, 0, err)
    assert.match(
      err,
      /^delegated: \S+ {2}orchestrator → sql-worker {2}resources default\/shop {2}roles agent {2}actions sql:select, sql:insert {2}objects public\.orders {2}limits \{"rowsPerCommand":2\} {2}5m$/m,
    )
    assert.match(err, /^its user name is ROLE@sql-worker, its password the token$/m)
    const client = await agents.connect('agent@sql-worker', out.trim())
    await assert.rejects(client.query('SELECT id FROM orders'), /limit of 2 rows/)
    await assert.rejects(client.query('SELECT id FROM carts'), /denied|outside/)
    await client.end()
  })

  it('writes all of the answer as JSON, lists and revokes', async () => {
    const made = await firebreak(orchestratorToken, 'delegate', '--to', 'planner', '--json')
    const { id, token, chain } = JSON.parse(made.out)
    assert.deepEqual(chain, ['default/orchestrator', 'default/planner'])
    assert.equal(made.err, '')
    const below = await firebreak(token, 'delegate', '--to', 'sql-worker', '--max-duration', '5s', '--json')
    assert.deepEqual(JSON.parse(below.out).scope, { limits: { commandSeconds: 5 } })
    const listed = await firebreak(token, 'delegations')
    assert.match(
      listed.out,
      /^\S+ {2}orchestrator → planner → sql-worker {2}limits \{"commandSeconds":5\} {2}(10|\d)m\n$/,
    )
    assert.equal(JSON.parse((await firebreak(token, 'delegations', '--json')).out).delegations.length, 1)
    assert.equal((await firebreak(token, 'revoke-delegation', id)).status, 1)
    assert.equal((await firebreak(orchestratorToken, 'revoke-delegation', id)).out, `revoked: ${id}\n`)
    const late = await firebreak(token, 'delegations')
    assert.equal(late.status, 1)
    assert.match(
      late.err,
      /^error: the delegation was revoked or has ended\. Ask the parent for a new one\. Reference \S+\.$/m,
    )
  })

  it('says what is too much, and where it stands in the audit trail', async () => {
    const { out } = await firebreak(
      orchestratorToken,
      'delegate',
      '--to',
      'planner',
      '--actions',
      'sql:select',
    )
    const refused = await firebreak(out.trim(), 'delegate', '--to', 'sql-worker', '--actions', 'sql:*')
    assert.equal(refused.status, 1)
    const [, reference] =
      /^error: action sql:\* is beyond what the parent was given \(sql:select\)\. Reference (\S+)\.$/m.exec(
        refused.err,
      ) ?? []
    assert.ok(reference, refused.err)
    await agents.guard.auditLines(
      (line) => line.event === 'delegation.refused' && line.reference === reference,
    )
  })

  it('takes the token from a file, and the API by its address', async () => {
    const file = join(agents.guard.directory, 'token')
    const address = `http://127.0.0.1:${agents.apiPort}`
    const made = await firebreak('', 'delegate', '--to', 'planner', '--token-file', file, '--api', address)
    assert.equal(made.status, 0, made.err)
  })

  it('is wrong use otherwise', async () => {
    const cases: readonly [words: string[], says: RegExp][] = [
      [['delegate'], /delegate needs --to NAME/],
      [['delegate', '--to', 'x', '--max-rows', '0'], /--max-rows takes a number above 0, not 0/],
      [['delegate', '--to', 'x', '--user', 'no such user'], /this system has no user no such user/],
      [
        ['delegate', '--to', 'x', '--api', 'http://example.com:80'],
        /the local API is on this host; example\.com is not/,
      ],
      [['delegate', '--to', 'x', '--action', 'sql:select'], /did you mean --actions\?/],
      [['revoke-delegation'], /revoke-delegation takes one ID/],
    ]
    for (const [words, says] of cases) {
      const { status, err } = await firebreak(orchestratorToken, ...words)
      assert.equal(status, 2, words.join(' '))
      assert.match(err, says)
    }
    writeFileSync(join(agents.guard.directory, 'note'), '')
    const nowhere = await firebreak(
      '',
      'delegate',
      '--to',
      'x',
      '--api',
      join(agents.guard.directory, 'note'),
    )
    assert.equal(nowhere.status, 1)
    assert.match(
      nowhere.err,
      /the sidecar's local API can't be reached: .*\. Is it running, with an AgentIdentity that may delegate\?/,
    )
  })
})
