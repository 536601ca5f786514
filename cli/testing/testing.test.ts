import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ManifestProblem } from '@firebreak/crds'
import { SaxesParser } from 'saxes'
import { parse } from 'yaml'
import { Databases } from './database.ts'
import { runSuite, type SuiteResult } from './run-suite.ts'
import { loadSuites } from './test-file.ts'

interface Mistake {
  readonly part: string
  readonly text: string
  /** What stands at the place in the file, and the message. */
  readonly says: readonly [place: string, message: string]
}

const file = (path: string): string => fileURLToPath(new URL(path, import.meta.url))
const allPass = readFileSync(file('testdata/all-pass.yaml'), 'utf8')
const mistakes = parse(readFileSync(file('testdata/mistakes.yaml'), 'utf8')) as Mistake[]

function firebreak(...words: string[]): { status: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [file('../main.ts'), ...words], {
    encoding: 'utf8',
    timeout: 300_000,
  })
  return { status, out: stdout, err: stderr }
}

describe('Tests of policies', function () {
  this.timeout(600_000)
  const directory = mkdtempSync(join(tmpdir(), 'firebreak-tests-'))
  const databases = new Databases()

  before(() => cpSync(file('testdata/policies'), join(directory, 'policies'), { recursive: true }))
  after(async () => {
    rmSync(directory, { recursive: true })
    await databases[Symbol.asyncDispose]()
  })

  async function run(text: string): Promise<SuiteResult & { readonly wrong: readonly ManifestProblem[] }> {
    const path = join(directory, 'tests.yaml')
    writeFileSync(path, text)
    const { suites, problems } = loadSuites([path])
    const [suite] = suites
    const result = suite ? await runSuite(suite, databases) : { file: path, tests: [], problems: [] }
    return { ...result, wrong: [...problems, ...result.problems] }
  }

  it('say who asks in every way, and what is expected', async () => {
    const { tests, wrong } = await run(allPass)
    assert.deepEqual(wrong, [])
    assert.equal(tests.length, 10)
    for (const { name, differences, actual } of tests)
      assert.deepEqual(differences, [], `${name}: ${actual.reason}`)
  })

  it('fail with what is different, where the decision differs in anything that was expected', async () => {
    const changed = async (part: string, text: string): Promise<string[]> => {
      const { tests } = await run(allPass.replace(part, text))
      return tests.flatMap(({ differences }) =>
        differences.map(({ what, expected, actual }) => `${what}: ${expected} → ${actual}`),
      )
    }
    assert.deepEqual(await changed('decision: hold', 'decision: deny'), ['decision: deny → hold'])
    assert.deepEqual(await changed('everybody/read', 'bosses/read'), ['rule: bosses/read → everybody/read'])
    assert.deepEqual(await changed('masks: {}', 'masks: { name: hash }'), ['masks: name: hash → none'])
    assert.deepEqual(await changed('masks: { ssn: hash }', 'masks: {}'), ['masks: none → ssn: hash'])
    assert.deepEqual(await changed('Ask a clerk.', 'Ask.'), ['message: Ask. → Ask a clerk.'])
  })

  for (const { part, text, says } of mistakes)
    it(`with a mistake are not run: ${text.replaceAll('\n', ' ')}`, async () => {
      assert.ok(allPass.includes(part))
      const changed = allPass.replace(part, text)
      const { wrong } = await run(changed)
      const problem = wrong.find(({ message }) => message.includes(says[1]))
      assert.ok(problem, wrong.map(({ message }) => message).join('\n'))
      const { line, column } = problem.location
      const there = changed
        .split('\n')
        .slice(line - 1)
        .join('\n')
        .slice(column - 1)
      assert.ok(there.startsWith(says[0]), `${line}:${column} ${there.slice(0, 40)}`)
    })

  it('tell of manifests that are not valid, and of SQL in files', async () => {
    const broken = join(directory, 'broken')
    cpSync(join(directory, 'policies'), broken, { recursive: true })
    const manifest = join(broken, 'firebreak.yaml')
    writeFileSync(manifest, readFileSync(manifest, 'utf8').replace('effect: allow', 'effekt: allow'))
    const { wrong } = await run(allPass.replace('manifests: policies', 'manifests: broken'))
    assert.match(wrong[0]?.location.file ?? '', /broken\/firebreak\.yaml$/)
    writeFileSync(join(directory, 'shop.sql'), 'CREATE TABLE a ();\nCREATE é TABEL b ();')
    const schema = allPass.slice(allPass.indexOf('    sql: |'), allPass.indexOf('given:'))
    const [problem] = (await run(allPass.replace(schema, '    file: shop.sql\n'))).wrong
    assert.deepEqual([problem?.location.line, problem?.location.column], [2, 8])
    const [gone] = (await run(allPass.replace(schema, '    file: shp.sql\n'))).wrong
    assert.match(gone?.message ?? '', /^the file shp\.sql can't be read$/)
  })

  it('of the examples all pass', () => {
    const { status, out, err } = firebreak('test', file('../../examples'))
    assert.equal(status, 0, out + err)
    assert.match(out, /✓ a number can't be guessed by asking for it/)
    assert.match(out, /^\d+ passed$/m)
  })

  it('are reported to people, programs and CI systems, with the place of each rule', () => {
    const path = join(directory, 'mixed.yaml')
    const junitPath = join(directory, 'junit.xml')
    writeFileSync(
      path,
      allPass.replace('rule: ask', 'rule: read').replace('SELECT id FROM people', 'SELECT id FROM nobody'),
    )
    const { status, out } = firebreak('test', path, '--junit', junitPath)
    assert.equal(status, 2, out)
    assert.match(out, /rule {6}- read {2}\S*policies\/firebreak\.yaml:32:7\n +\+ everybody\/ask {2}\S*:39:7/)
    assert.match(out, /^8 passed, 1 failed, 1 not valid$/m)
    const elements: string[] = []
    const parser = new SaxesParser()
    parser.on('error', (error) => assert.fail(error))
    parser.on('opentag', ({ name, attributes }) =>
      elements.push(`${name} ${attributes.name ?? attributes.message ?? ''}`),
    )
    parser.write(readFileSync(junitPath, 'utf8')).close()
    assert.equal(elements.filter((element) => element.startsWith('testcase ')).length, 10)
    assert.ok(elements.includes('failure rule: expected read, found everybody/ask'), elements.join('\n'))
    assert.ok(elements.includes('error PostgreSQL would refuse it: relation "nobody" does not exist'))

    writeFileSync(path, allPass.replace('rule: ask', 'rule: read'))
    const failed = firebreak('test', path, '--json')
    assert.equal(failed.status, 1)
    const { passed, suites } = JSON.parse(failed.out) as {
      passed: number
      suites: { tests: { differences: object[] }[] }[]
    }
    assert.equal(passed, 9)
    assert.deepEqual(suites[0]?.tests[2]?.differences, [
      { what: 'rule', expected: 'read', actual: 'everybody/ask' },
    ])
  })

  it('that are not there are no success', () => {
    const { status, out } = firebreak('test', join(directory, 'policies'))
    assert.equal(status, 2)
    assert.match(out, /there are no tests: no file is of kind PolicyTest/)
  })
})
