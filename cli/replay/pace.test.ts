import assert from 'node:assert/strict'
import type { Step } from '@firebreak/sidecar/recording/transcript/transcript.ts'
import { Pace } from './pace.ts'

const step = (kind: 'command' | 'answer', seconds: number): Step =>
  ({ kind, time: seconds * 1_000_000 }) as unknown as Step

describe('The pace of a replay', () => {
  let now = 0
  let wake: (() => void) | undefined
  let pace: Pace
  let shown: number[]

  beforeEach(() => {
    now = 0
    shown = []
    pace = new Pace({
      speed: 1,
      now: () => now,
      sleep: (milliseconds, signal) =>
        new Promise((resolve) => {
          const until = now + milliseconds
          wake = () => (signal.aborted || now >= until) && resolve()
          signal.addEventListener('abort', () => resolve())
        }),
    })
  })

  /** Commands at 1, 2, 3 … seconds, with their answers half a second later. */
  async function play(): Promise<void> {
    pace.start(0)
    const { signal } = new AbortController()
    for (let second = 1; second <= 5; second++) {
      await pace.due(step('command', second), signal)
      shown.push(second)
      await pace.due(step('answer', second + 0.5), signal)
    }
  }

  const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

  async function pass(milliseconds: number): Promise<number> {
    for (let left = milliseconds; left > 0; left -= 100) {
      now += 100
      wake?.()
      await settled()
    }
    return shown.length
  }

  it('is that of the session', async () => {
    void play()
    await settled()
    assert.equal(await pass(900), 0)
    assert.equal(await pass(100), 1)
    assert.equal(await pass(2000), 3)
  })

  it('is so many times as fast, from when it is said on', async () => {
    void play()
    await settled()
    await pass(500)
    pace.scale(2)
    await settled()
    assert.equal(await pass(200), 0)
    assert.equal(await pass(100), 1)
    assert.equal(await pass(500), 2)
  })

  it('stands still, and goes on where it stood', async () => {
    void play()
    await settled()
    await pass(500)
    pace.toggle()
    assert.equal(await pass(10_000), 0)
    pace.toggle()
    await settled()
    assert.equal(await pass(400), 0)
    assert.equal(await pass(100), 1)
  })

  it('goes on by one command each time it is told to', async () => {
    void play()
    await settled()
    pace.step()
    assert.equal(await pass(100), 1)
    assert.equal(await pass(10_000), 1)
    pace.step()
    pace.step()
    assert.equal(await pass(100), 3)
  })
})
