import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import { untilTrue } from '../../test/eventually.ts'
import { WorkQueue } from './work-queue.ts'

describe('a work queue', function () {
  this.timeout(90_000)
  const neverFails = (_key: string, error: Error): void => assert.fail(error)

  it('works on a key once, however often it is asked for while it waits', async () => {
    const worked: string[] = []
    await using queue = new WorkQueue(
      async (key) => {
        worked.push(key)
        await delay(5)
        return undefined
      },
      { concurrency: 1, onError: neverFails },
    )
    for (const key of ['a', 'b', 'b', 'b', 'c']) queue.add(key)
    assert.equal(queue.depth, 2)
    await untilTrue(() => worked.length >= 3)
    await delay(40)
    assert.deepEqual(worked, ['a', 'b', 'c'])
  })

  it('works again on a key that was asked for while it was worked on, and never on one key twice at a time', async () => {
    let running = 0
    let runs = 0
    const first = Promise.withResolvers<void>()
    await using queue = new WorkQueue(
      async () => {
        runs++
        assert.equal(++running, 1)
        await first.promise
        running--
        return undefined
      },
      { concurrency: 8, onError: neverFails },
    )
    queue.add('a')
    await delay(2)
    queue.add('a')
    queue.add('a')
    assert.equal(runs, 1)
    first.resolve()
    await untilTrue(() => runs > 1)
    await delay(40)
    assert.equal(runs, 2)
  })

  it('tries a failing key again, later each time, and forgets that once it works', async () => {
    const at: number[] = []
    const failed: string[] = []
    await using queue = new WorkQueue(
      async () => {
        at.push(performance.now())
        if (at.length < 4) throw new Error(`failure ${at.length}`)
        return undefined
      },
      { concurrency: 1, firstDelay: 20, onError: (_key, error) => failed.push(error.message) },
    )
    queue.add('a')
    await untilTrue(() => at.length >= 4)
    await delay(100)
    assert.deepEqual(failed, ['failure 1', 'failure 2', 'failure 3'])
    assert.equal(at.length, 4)
    const waits = at.slice(1).map((time, index) => time - (at[index] ?? 0))
    assert.ok((waits[0] ?? 0) >= 19 && (waits[1] ?? 0) >= 39 && (waits[2] ?? 0) >= 79, waits.join())
  })

  it('looks again when it was told to, at the earliest of the times', async () => {
    let runs = 0
    await using queue = new WorkQueue(
      async () => {
        runs++
        return undefined
      },
      { concurrency: 1, onError: neverFails },
    )
    queue.addAfter('a', 30)
    queue.addAfter('a', 5)
    queue.addAfter('a', 60_000)
    await untilTrue(() => runs > 0)
    await delay(60)
    assert.equal(runs, 1)
  })

  it('ends when what runs has ended, and takes nothing more', async () => {
    let ended = false
    const queue = new WorkQueue(
      async () => {
        await delay(20)
        ended = true
        return 1
      },
      { concurrency: 1, onError: neverFails },
    )
    queue.add('a')
    queue.add('b')
    await queue[Symbol.asyncDispose]()
    assert.ok(ended)
    queue.add('c')
    assert.equal(queue.depth, 0)
  })
})
