import assert from 'node:assert/strict'
import {
  chmodSync,
  linkSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import fc from 'fast-check'
import { until } from '../../test/eventually.ts'
import { decideRequest } from './desk.ts'
import { canonical, formatRequest, parseRequest } from './request-file.ts'
import { Agent, Ask, Desk } from './testdata/station.ts'

const me = userInfo().username

describe('the file of a request', function () {
  this.timeout(60_000)
  let desk: Desk
  let ask: Ask
  let name: string

  beforeEach(async () => {
    desk = new Desk()
    await desk.open()
    ask = new Ask(desk.station, new Agent('S1'), 'DROP TABLE carts')
    name = await ask.name()
  })
  afterEach(async () => {
    ask.gone.abort()
    await ask.outcome
    await desk[Symbol.asyncDispose]()
  })

  const tampered = (): Promise<unknown> =>
    until(() => desk.lines.find(({ event, kind }) => event === 'signal' && kind === 'tampering'))

  const restored = async (): Promise<void> => {
    await tampered()
    await until(() => {
      try {
        const { spec, status } = desk.read(name)
        return (
          spec.decision === undefined &&
          status?.state === 'Pending' &&
          spec.command?.text === 'DROP TABLE carts'
        )
      } catch {
        return false
      }
    })
    desk.decide(name, 'Approved')
    assert.equal((await ask.outcome).kind, 'approved')
  }

  it('is put right when anything else is changed, and still can be decided', async () => {
    desk.edit(name, ({ spec }) =>
      Object.assign(spec, { decision: 'Approved', command: { ...spec.command, text: 'DROP TABLE users' } }),
    )
    await restored()
    assert.ok(desk.events().includes('approval.refused'))
  })

  it('is put right when its status is written', async () => {
    desk.edit(name, (request) => {
      request.status = {
        state: 'Approved',
        approvals: [{ user: 'root', decision: 'Approved', at: new Date().toISOString() }],
      }
    })
    await restored()
  })

  it('is put back when it is removed', async () => {
    rmSync(desk.path(name))
    await restored()
  })

  it('is put right when it is no request any more', async () => {
    writeFileSync(desk.path(name), 'kind: [broken')
    await restored()
  })

  it('is not followed elsewhere', async () => {
    const elsewhere = join(desk.directory, '.elsewhere')
    writeFileSync(
      elsewhere,
      formatRequest({ ...desk.read(name), spec: { ...desk.read(name).spec, decision: 'Approved' } }),
    )
    rmSync(desk.path(name))
    symlinkSync(elsewhere, desk.path(name))
    await restored()
  })

  it('that others may have written proves nobody', async () => {
    const decided = formatRequest({
      ...desk.read(name),
      spec: { ...desk.read(name).spec, decision: 'Approved' },
    })
    chmodSync(desk.path(name), 0o666)
    writeFileSync(desk.path(name), decided)
    await restored()
  })

  it('with a second name proves nobody', async () => {
    const decided = formatRequest({
      ...desk.read(name),
      spec: { ...desk.read(name).spec, decision: 'Approved' },
    })
    linkSync(desk.path(name), join(desk.directory, '.second'))
    writeFileSync(desk.path(name), decided)
    await tampered()
    rmSync(join(desk.directory, '.second'))
    await restored()
  })

  it('is no proof once the folder of the runner was replaced', async () => {
    renameSync(join(desk.directory, '.runner'), join(desk.directory, '.aside'))
    mkdirSync(join(desk.directory, '.runner'), { mode: 0o700 })
    desk.decide(name, 'Approved')
    const outcome = await ask.outcome
    assert.ok(outcome.kind === 'refused' && /is not the folder that it was/.test(outcome.message))
    rmSync(join(desk.directory, '.runner'), { recursive: true })
    renameSync(join(desk.directory, '.aside'), join(desk.directory, '.runner'))
  })

  it('of a request that the runner has not made is removed', async () => {
    const forged = {
      ...desk.read(name),
      metadata: { name: 'worker-forged', namespace: 'agents' },
      status: { state: 'Approved' as const },
    }
    writeFileSync(desk.path('worker-forged'), formatRequest(forged))
    await tampered()
    await until(() => !readdirSync(desk.directory).includes('worker-forged.yaml'))
  })

  it('is put back when somebody decides too late, which is no crime', async () => {
    const before = desk.read(name)
    desk.decide(name, 'Denied', 'no')
    await ask.outcome
    await until(() => desk.read(name).status?.state === 'Denied')
    await delay(300)
    writeFileSync(
      desk.path(name),
      formatRequest({ ...before, spec: { ...before.spec, decision: 'Approved' } }),
    )
    const refused = await until(() => desk.lines.find(({ event }) => event === 'approval.refused'))
    assert.equal(refused.reason, 'it is denied already')
    await until(() => desk.read(name).status?.state === 'Denied')
    assert.deepEqual(
      desk.lines.filter(({ event }) => event === 'signal'),
      [],
    )
    writeFileSync(desk.path(name), formatRequest({ ...before, status: { state: 'Approved' } }))
    await tampered()
    await until(() => desk.read(name).status?.state === 'Denied')
  })

  it('may be half written for a moment', async () => {
    const whole = formatRequest({
      ...desk.read(name),
      spec: { ...desk.read(name).spec, decision: 'Approved' },
    })
    writeFileSync(desk.path(name), whole.slice(0, 200))
    await delay(20)
    writeFileSync(desk.path(name), whole)
    assert.equal((await ask.outcome).kind, 'approved')
    assert.deepEqual(
      desk.lines.filter(({ event }) => event === 'signal'),
      [],
    )
  })

  it('tells who may not decide why', async () => {
    ask.gone.abort()
    await desk.close()
    await desk.open({ agentUsers: [me] })
    const other = new Ask(desk.station, new Agent('S1'), 'Y')
    const request = await other.name()
    assert.deepEqual(await decideRequest(desk.directory, request, { decision: 'Approved' }), {
      kind: 'refused',
      reason: `${me} is a user that agents run as, and nobody approves for themselves`,
    })
    assert.equal(desk.read(request).status?.state, 'Pending')
    other.gone.abort()
    await other.outcome
  })

  it('gives back every text exactly', () => {
    const request = desk.read(name)
    const texts = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 30 }),
      fc.string({
        unit: fc.constantFrom(
          ' ',
          '\n',
          '\r',
          '\t',
          '#',
          ':',
          '-',
          '|',
          "'",
          '"',
          '\\',
          'x',
          '\u0085',
          '\u2028',
          '\ufeff',
          '%',
          '0',
        ),
        maxLength: 20,
      }),
    )
    fc.assert(
      fc.property(texts, (text) => {
        const { command } = request.spec
        assert.ok(command)
        const changed = {
          ...request,
          spec: { ...request.spec, command: { ...command, text, parameters: [text] } },
        }
        const parsed = parseRequest(formatRequest(changed))
        assert.ok(parsed.ok)
        assert.equal(parsed.value.spec.command?.text, text)
        assert.deepEqual(canonical(changed), parsed.value)
      }),
      { numRuns: 100 },
    )
  })
})
