import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const mocha = fileURLToPath(new URL('../node_modules/mocha/bin/mocha.js', import.meta.url))
const reporter = fileURLToPath(new URL('reporter.ts', import.meta.url))

describe('the reporter', function () {
  this.timeout(60_000)
  const directory = mkdtempSync(join(tmpdir(), 'firebreak-reporter-'))
  after(() => rmSync(directory, { recursive: true }))

  it('says at once what fails, and counts in its last line', () => {
    const file = join(directory, 'some.cjs')
    writeFileSync(file, "it('a', () => {})\nit('b', () => {})\nit('c', () => { throw new Error('no') })\n")
    const { stdout, status } = spawnSync(
      process.execPath,
      [mocha, '--no-config', '--reporter', reporter, file],
      {
        encoding: 'utf8',
      },
    )
    assert.match(stdout, /\n {2}failed: c\n[\s\S]*1 failing/)
    assert.equal(stdout.trimEnd().split('\n').at(-1), '2 passed, 1 failed')
    assert.equal(status, 1)
  })
})
