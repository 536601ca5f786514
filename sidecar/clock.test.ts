import assert from 'node:assert/strict'
import { ManualClock } from '../test/manual-clock.ts'
import { Deadline } from './clock.ts'

describe('a deadline', () => {
  it('passes when its time has gone by', () => {
    const clock = new ManualClock()
    const deadline = new Deadline(clock, 1_000)
    clock.pass(999)
    assert.equal(deadline.passed, false)
    clock.pass(1)
    assert.equal(deadline.passed, true)
  })

  it('passes when the wall clock jumps beyond it', () => {
    const clock = new ManualClock()
    const deadline = new Deadline(clock, 60_000)
    clock.jump(60_000)
    assert.equal(deadline.passed, true)
  })

  it('is not prolonged by a wall clock that is set back', () => {
    const clock = new ManualClock()
    const deadline = new Deadline(clock, 60_000)
    clock.jump(-3_600_000)
    clock.pass(59_999)
    assert.equal(deadline.passed, false)
    clock.pass(1)
    assert.equal(deadline.passed, true)
  })

  it('begins anew, or gets another length from where it began', () => {
    const clock = new ManualClock()
    const deadline = new Deadline(clock, 1_000)
    clock.pass(900)
    deadline.restart()
    clock.pass(900)
    assert.equal(deadline.remaining, 100)
    deadline.change(5_000)
    assert.equal(deadline.remaining, 4_100)
    deadline.change(500)
    assert.equal(deadline.passed, true)
  })
})
