import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const steady = 'it("holds", () => {})'
const unsteady = `const { existsSync, writeFileSync } = require('node:fs')
it('holds alone', () => {
  const before = existsSync('tried')
  writeFileSync('tried', '')
  if (!before) throw new Error('busy')
})`
const wrong = 'it("fails", () => { throw new Error("wrong") })'
const wrongHook =
  'describe("all", () => { before(() => { throw new Error("hook") }); it("waits", () => {}) })'
const broken = 'throw new Error("no tests")'

describe('runs of tests', function () {
  this.timeout(60_000)
  const runs = new URL('test-runs.ts', import.meta.url).href
  let directory: string

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'firebreak-runs-'))
  })
  afterEach(() => rmSync(directory, { recursive: true }))

  /** @param groups each with the texts of its files. */
  function run(...groups: readonly (readonly string[])[]): {
    readonly code: number | null
    readonly output: string
  } {
    const words = groups.map((texts, group) =>
      texts.map((text, index) => {
        const file = `${group}-${index}.test.cjs`
        writeFileSync(join(directory, file), text)
        return file
      }),
    )
    const program = `import { runTests } from ${JSON.stringify(runs)}
process.exitCode = (await runTests(${JSON.stringify(words)})) ? 0 : 1`
    const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
      cwd: directory,
      encoding: 'utf8',
    })
    return { code: status, output: `${stdout}${stderr}` }
  }

  it('pass where all do, and are run once', () => {
    const { code, output } = run([steady], [steady, steady])
    assert.equal(code, 0, output)
    assert.equal(
      output
        .match(/[0-9]+ passed, 0 failed/g)
        ?.toSorted()
        .join(),
      '1 passed, 0 failed,2 passed, 0 failed',
    )
  })

  it('name what passed alone only', () => {
    const { code, output } = run([steady], [unsteady, steady])
    assert.equal(code, 0, output)
    assert.match(output, /Error: busy/)
    assert.match(
      output,
      /1 passed, 1 failed[\s\S]*\nOnce more, alone: 1-0\.test\.cjs\n[\s\S]*1 passed, 0 failed/,
    )
    assert.match(output, /\nfailed beside others and passed alone: 1-0\.test\.cjs\n/)
  })

  it('fail where one fails again, in a test or before it', () => {
    for (const text of [wrong, wrongHook]) {
      const { code, output } = run([unsteady], [steady, text])
      assert.equal(code, 1, output)
      assert.match(output, /Once more, alone: 0-0\.test\.cjs, 1-1\.test\.cjs\n/)
      assert.match(output, /\nfailed beside others and passed alone: 0-0\.test\.cjs\n/)
      rmSync(join(directory, 'tried'))
    }
  })

  it('fail at once where a file has no tests to run, or many fail', () => {
    for (const groups of [
      [[steady], [broken]],
      [[steady], Array(11).fill(wrong)],
    ]) {
      const { code, output } = run(...groups)
      assert.equal(code, 1, output)
      assert.doesNotMatch(output, /Once more/)
    }
  })
})
