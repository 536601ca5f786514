import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { lockFile } from './lock.ts'

describe('a lock of the test cluster', function () {
  this.timeout(60_000)
  let directory: string
  let path: string
  const told: string[] = []
  const take = (): Promise<AsyncDisposable> => lockFile(path, (line) => told.push(line))

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'firebreak-lock-'))
    path = join(directory, 'lock')
    told.length = 0
  })
  afterEach(() => rmSync(directory, { recursive: true }))

  it('is of one at a time, and gone at the end', async () => {
    let inside = 0
    const work = async (): Promise<void> => {
      await using _lock = await take()
      assert.equal(++inside, 1)
      await delay(5)
      inside--
    }
    await Promise.all([work(), work(), work()])
    assert.ok(told.every((line) => line.startsWith('Waiting for another process')) && told.length === 2)
    assert.deepEqual(readdirSync(directory), [])
  })

  it('is taken from a process that is no more, and from a later one of the same id', async () => {
    const { pid } = spawnSync(process.execPath, ['--version'])
    for (const owner of [`${pid} 1`, `${pid}`, `${process.pid} 1`]) {
      writeFileSync(path, owner)
      await using _lock = await take()
      assert.ok(existsSync(path))
    }
    assert.deepEqual(readdirSync(directory), [])
  })

  it('says why there can be none', async () => {
    path = join(directory, 'nowhere', 'lock')
    await assert.rejects(take(), /ENOENT/)
  })
})
