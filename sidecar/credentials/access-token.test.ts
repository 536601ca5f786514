import assert from 'node:assert/strict'
import { ManualClock } from '../../test/manual-clock.ts'
import type { Result } from '../session.ts'
import { AccessToken } from './access-token.ts'
import type { GrantedToken } from './oauth2.ts'

describe('an access token', () => {
  let clock: ManualClock
  let asked: number
  let grant: () => Result<GrantedToken, string> | Promise<Result<GrantedToken, string>>
  let token: AccessToken

  beforeEach(() => {
    clock = new ManualClock()
    asked = 0
    grant = () => ({ ok: true, value: { token: `t${asked}`, life: 100_000 } })
    token = new AccessToken(async () => {
      asked++
      return await grant()
    }, clock)
  })

  const current = async (): Promise<string> => {
    const result = await token.current()
    return result.ok ? result.value : result.error
  }
  /** What is asked for in the background has been answered. */
  const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
  const away = (): Result<GrantedToken, string> => ({ ok: false, error: 'away' })

  it('is asked for once by all who come at once, and kept', async () => {
    assert.deepEqual(await Promise.all([current(), current(), current()]), ['t1', 't1', 't1'])
    clock.pass(79_000)
    assert.equal(await current(), 't1')
    assert.equal(asked, 1)
  })

  it('serves while the next one is asked for', async () => {
    await current()
    clock.pass(81_000)
    const next = Promise.withResolvers<Result<GrantedToken, string>>()
    grant = () => next.promise
    assert.deepEqual(await Promise.all([current(), current()]), ['t1', 't1'])
    assert.equal(asked, 2)
    next.resolve({ ok: true, value: { token: 'second', life: 100_000 } })
    await settled()
    assert.equal(await current(), 'second')
  })

  it('serves to its end while nobody gives the next one, who is asked again every 2 seconds', async () => {
    await current()
    grant = away
    for (let second = 0; second < 99; second++) {
      clock.pass(1_000)
      assert.equal(await current(), 't1')
      await settled()
    }
    assert.equal(asked, 1 + 10)
    clock.pass(2_000)
    assert.equal(await current(), 'away')
  })

  it('of a length of nothing serves those who waited for it', async () => {
    grant = () => ({ ok: true, value: { token: `t${asked}`, life: 0 } })
    assert.deepEqual(await Promise.all([current(), current()]), ['t1', 't1'])
    assert.equal(await current(), 't2')
  })

  it('whose end nobody knows serves until it is refused', async () => {
    grant = () => ({ ok: true, value: { token: `t${asked}` } })
    await current()
    clock.pass(1e10)
    assert.equal(await current(), 't1')
    assert.ok(token.refused('t1'))
    assert.equal(await current(), 't2')
  })

  it('is replaced once by all to whom it was refused', async () => {
    await current()
    assert.deepEqual([token.refused('t1'), token.refused('t1')], [true, true])
    assert.deepEqual(await Promise.all([current(), current()]), ['t2', 't2'])
    assert.ok(token.refused('t1'), 'who hears late gets the one that there is')
    assert.equal(await current(), 't2')
  })

  it('is not replaced again within 10 seconds, whatever a server says', async () => {
    await current()
    token.refused('t1')
    await current()
    assert.equal(token.refused('t2'), false)
    assert.equal(await current(), 't2')
    clock.pass(11_000)
    assert.ok(token.refused('t2'))
    assert.equal(await current(), 't3')
  })
})
