import assert from 'node:assert/strict'
import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { ApprovalRequest } from '@firebreak/crds'
import { Agent, Ask, Desk, drop } from '@firebreak/sidecar/approvals/testdata/station.ts'
import { eventuallyWith } from '../../test/eventually.ts'
import { emptyScreen, press, render, type Screen, withRequests } from './screen.ts'
import { details, table } from './show.ts'
import { clip, printable } from './text.ts'

const main = fileURLToPath(new URL('../main.ts', import.meta.url))

function firebreak(...words: string[]): SpawnSyncReturns<string> {
  return spawnSync(process.execPath, [main, ...words], { encoding: 'utf8', timeout: 300_000 })
}

const now = Date.parse('2026-01-01T12:00:00Z')

function request(name: string, text: string): ApprovalRequest {
  return {
    apiVersion: 'firebreak.dev/v1alpha1',
    kind: 'ApprovalRequest',
    metadata: { name, namespace: 'agents' },
    spec: {
      identity: 'worker',
      chain: [{ identity: 'agents/planner' }, { identity: 'agents/worker' }],
      resource: 'orders-db',
      role: 'reader',
      kind: 'command',
      command: {
        text,
        parameters: ["'1'"],
        context: ['database orders'],
        digest: 'd1',
        actions: ['sql:drop'],
        objects: ['table public.carts'],
        estimatedEffect: '~1204 rows',
      },
      requirements: [{ policy: 'agents/guard', rule: 'ask', groups: ['dba'], quorum: 2 }],
      requestedAt: '2026-01-01T11:59:00Z',
      expiresAt: '2026-01-01T12:14:00Z',
    },
    status: {
      state: 'Pending',
      approvals: [
        { user: 'alice', groups: ['dba'], decision: 'Approved', reason: 'fine', at: '2026-01-01T11:59:30Z' },
      ],
    },
  }
}

describe('what approvers see', () => {
  it('is what would run: no character can hide another', () => {
    assert.equal(printable('a\u001b[2Kb'), 'a\\u{1b}[2Kb')
    assert.equal(printable('safe\u202eevil\u2066'), 'safe\\u{202e}evil\\u{2066}')
    assert.equal(
      printable('x\r\ny\u0085\u2028\u200b\u00ad\ufeff'),
      'x\\u{d}⏎y\\u{85}\\u{2028}\\u{200b}\\u{ad}\\u{feff}',
    )
    assert.equal(printable('a\nb', true), 'a\nb')
    assert.equal(printable('größe → 表'), 'größe → 表')
    assert.equal(clip('abcdef', 4), 'abc…')
  })

  it('is a line for each request, and all of one', () => {
    const lines = table([request('worker-bcdfg', 'DROP   TABLE\ncarts')], 200, now)
    assert.match(lines[0] ?? '', /^NAME +AGENT +RESOURCE +ROLE +COMMAND +EFFECT +STATE +EXPIRES$/)
    assert.match(
      lines[1] ?? '',
      /^worker-bcdfg {2}planner → worker {2}orders-db {2}reader {2}DROP TABLE carts {2}~1204 rows {2}Pending {2}14m$/,
    )
    assert.deepEqual(details(request('worker-bcdfg', 'DROP TABLE\ncarts\u202e'), now), [
      'agents/worker-bcdfg: Pending',
      '',
      'asked by    agents/planner → agents/worker',
      'on          orders-db as reader',
      'asked at    2026-01-01T11:59:00Z',
      'expires in  14m',
      'does        sql:drop',
      '            on table public.carts',
      'effect      ~1204 rows',
      'with        database orders',
      '',
      '  DROP TABLE',
      '  carts\\u{202e}',
      "    $1 = '1'",
      '',
      'digest      d1',
      '',
      'needs       2 of dba, by agents/guard/ask (1 to go)',
      'approved    by alice at 2026-01-01T11:59:30Z: fine',
    ])
  })
})

describe('the live list', () => {
  const requests = ['worker-1', 'worker-2', 'worker-3'].map((name) => request(name, `DROP TABLE ${name}`))
  const start = withRequests(emptyScreen, requests)
  const keys = (screen: Screen, ...pressed: string[]): ReturnType<typeof press> =>
    pressed.reduce<ReturnType<typeof press>>((state, key) => press(state.screen, key), {
      screen,
      action: { kind: 'none' },
    })

  it('moves, and shows the one under the cursor whole before it can be approved', () => {
    const first = keys(start, 'down', 'a')
    assert.deepEqual(first.action, { kind: 'none' })
    assert.match(
      render(first.screen, 100, 30, now).join('\n'),
      /agents\/worker-2: Pending[\s\S]*DROP TABLE worker-2[\s\S]*a again approves it/,
    )
    assert.deepEqual(keys(first.screen, 'a').action, {
      kind: 'decide',
      request: requests[1],
      decision: 'Approved',
    })
  })

  it('asks for the reason of a denial', () => {
    assert.deepEqual(keys(start, 'd', 'return').action, { kind: 'none' })
    assert.deepEqual(keys(start, 'd', 'n', 'o', 'x', 'backspace', ' ', 'q', 'return').action, {
      kind: 'decide',
      request: requests[0],
      decision: 'Denied',
      reason: 'no q',
    })
    assert.deepEqual(keys(start, 'd', 'escape', 'q').action, { kind: 'quit' })
  })

  it('stays with its request when others come and go, and never acts on another', () => {
    const selected = keys(start, 'down', 'a').screen
    const [first, second, third] = requests
    assert.ok(first && second && third)
    const more = withRequests(selected, [request('worker-0', 'X'), ...requests])
    assert.deepEqual(keys(more, 'a').action, { kind: 'decide', request: second, decision: 'Approved' })
    const gone = withRequests(selected, [first, third])
    assert.equal(gone.selected, 'agents/worker-3')
    assert.deepEqual(keys(gone, 'a').action, { kind: 'none' })
    assert.equal(withRequests(keys(start, 'd', 'n').screen, []).typing, undefined)
    assert.deepEqual(keys(withRequests(start, []), 'a', 'd', 'return', 'x').action, { kind: 'none' })
  })

  it('fits its terminal, and hides nothing of a long command', () => {
    const long = withRequests(emptyScreen, [
      request('worker-1', `SELECT ${'x'.repeat(300)}; DROP TABLE users`),
    ])
    for (const [width, height] of [
      [40, 10],
      [80, 24],
      [200, 50],
    ] as const)
      for (const screen of [long, keys(long, 'return').screen]) {
        const lines = render(screen, width, height, now)
        assert.equal(lines.length, height)
        assert.ok(lines.every((line) => [...line].length <= width))
      }
    const whole = render(keys(long, 'return').screen, 60, 60, now)
      .map((line) => line.trim())
      .join('')
    assert.ok(whole.includes('DROP TABLE users'))
  })
})

describe('firebreak approvals', function () {
  this.timeout(600_000)
  let desk: Desk

  beforeEach(async () => {
    desk = new Desk()
    await desk.open()
  })
  afterEach(() => desk[Symbol.asyncDispose]())

  it('lists what waits, and approves, denies and explains', async () => {
    const where = ['--state', desk.directory]
    const asks = ['DROP TABLE carts', 'DROP TABLE orders'].map(
      (text) => new Ask(desk.station, new Agent('S1'), text),
    )
    const [first = '', second = ''] = await Promise.all(asks.map((ask) => ask.name()))
    // the runner is this process: it has to go on meanwhile
    const run = async (...words: string[]): Promise<{ code: number | null; out: string }> => {
      const child = spawn(process.execPath, [main, ...words])
      let out = ''
      for (const stream of [child.stdout, child.stderr]) stream.on('data', (text: Buffer) => (out += text))
      const [code] = (await once(child, 'close')) as [number | null]
      return { code, out }
    }
    const list = await run('approvals', ...where)
    assert.equal(list.code, 0)
    assert.ok(list.out.includes(first) && list.out.includes('DROP TABLE orders'))
    assert.deepEqual(
      (JSON.parse((await run('approvals', '--json', ...where)).out) as ApprovalRequest[])
        .map(({ metadata }) => metadata.name)
        .sort(),
      [first, second].sort(),
    )
    assert.match((await run('approvals', second, ...where)).out, /DROP TABLE orders/)
    const approved = await run('approve', first, '--reason', 'CHG-1', ...where)
    assert.deepEqual(approved, { code: 0, out: `approved: ${first}\n` })
    assert.equal((await asks[0]?.outcome)?.kind, 'approved')
    const denied = await run('deny', `approvalrequest/${second}`, '--reason', 'no', ...where)
    assert.deepEqual(denied, { code: 0, out: `denied: ${second}\n` })
    const late = await run('approve', first, ...where)
    assert.deepEqual(late, { code: 1, out: 'refused: it is used already\n' })
    assert.match((await run('approve', 'nobody', ...where)).out, /^refused: there is no request nobody/)
    assert.equal((await run('approvals', ...where)).out, 'Nothing waits for approval.\n')
    assert.equal((await run('approvals', '--all', ...where)).out.split('\n').length, 4)
  })

  it('follows what happens, a line for each change', async () => {
    const child = spawn(process.execPath, [main, 'approvals', '--watch', '--json', '--state', desk.directory])
    let out = ''
    child.stdout.on('data', (text: Buffer) => (out += text))
    await delay(1_000)
    const ask = new Ask(desk.station, new Agent('S1'), 'DROP TABLE carts', { commands: [drop] })
    const name = await ask.name()
    const seen = await eventuallyWith(() => '', 120)(() => out, /\n/)
    assert.equal((JSON.parse(seen.split('\n')[0] ?? '') as ApprovalRequest).metadata.name, name)
    child.kill('SIGINT')
    assert.deepEqual((await once(child, 'exit'))[0], 0)
    ask.gone.abort()
    await ask.outcome
  })

  it('says where it was to look, and how it is used', () => {
    assert.equal(firebreak('approvals').status, 2)
    assert.match(firebreak('deny', 'x', '--state', desk.directory).stderr, /needs --reason/)
    assert.match(firebreak('approvals', '--state', `${desk.directory}/none`).stderr, /no requests in .*none/)
  })

  it('is documented', () => {
    const text = readFileSync(new URL('../../docs/approvals.md', import.meta.url), 'utf8')
    for (const word of ['firebreak approvals --watch', 'firebreak approve', 'firebreak revoke'])
      assert.ok(text.includes(word), word)
  })
})
