/** What `npm run demo` and `npm test` do first on a machine that has nothing but Node and npm. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

describe('prepare', function () {
  this.timeout(60_000)
  const checkout = mkdtempSync(join(tmpdir(), 'firebreak-prepare-'))
  const programs = join(checkout, 'programs')
  const calls = join(checkout, 'calls')

  before(() => {
    for (const directory of ['tools', 'programs', 'node_modules']) mkdirSync(join(checkout, directory))
    copyFileSync(
      fileURLToPath(new URL('prepare.mjs', import.meta.url)),
      join(checkout, 'tools', 'prepare.mjs'),
    )
  })

  after(() => rmSync(checkout, { recursive: true }))

  /** Stands for npm: keeps what it is asked for, and ends as it is told. */
  function npmEndsWith(code: number): void {
    writeFileSync(join(programs, 'npm'), `#!/bin/sh\necho "$@" >> ${calls}\nexit ${code}\n`, { mode: 0o755 })
  }

  function prepare(lockfile: string): { status: number | null; stderr: string } {
    writeFileSync(join(checkout, 'package-lock.json'), lockfile)
    return spawnSync(process.execPath, [join(checkout, 'tools', 'prepare.mjs')], {
      encoding: 'utf8',
      env: { PATH: `${programs}:/usr/bin:/bin` },
    })
  }

  const timesCalled = (): number =>
    existsSync(calls) ? readFileSync(calls, 'utf8').trim().split('\n').length : 0

  it('says what to look at when the packages can not be had, and tries again', () => {
    npmEndsWith(7)
    const { status, stderr } = prepare('{}')
    assert.equal(status, 1)
    assert.match(stderr, /npm ci failed \(exit code 7\)\. Is the package registry reachable\?/)
    assert.equal(timesCalled(), 2, 'the registry may be there the next time')
    assert.equal(prepare('{}').status, 1)
    assert.equal(timesCalled(), 4)
  })

  it('installs what is locked once, and again when other things are', () => {
    rmSync(calls, { force: true })
    npmEndsWith(0)
    const { status, stderr } = prepare('{}')
    assert.equal(status, 0)
    assert.match(stderr, /^Installing the locked dependencies/)
    assert.match(readFileSync(calls, 'utf8'), /^ci /)
    const second = prepare('{}')
    assert.deepEqual([second.status, second.stderr, timesCalled()], [0, '', 1])
    prepare('{"packages": {}}')
    assert.equal(timesCalled(), 2)
  })
})
