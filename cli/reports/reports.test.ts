/** What firebreak check writes for other programs, read by theirs. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Ajv } from 'ajv'
import type { Log } from 'sarif'
import { SaxesParser, type SaxesTagPlain } from 'saxes'
import { manifests } from '../../test/policies.ts'
import { sarifSchema } from '../../tools/sarif-schema.ts'
import { junit } from './junit.ts'

const main = fileURLToPath(new URL('../main.ts', import.meta.url))

/** @throws Error when it is not well-formed. */
function elementsOf(xml: string): SaxesTagPlain[] {
  const elements: SaxesTagPlain[] = []
  const parser = new SaxesParser()
  parser.on('error', (error) => {
    throw error
  })
  parser.on('opentag', (tag) => elements.push(tag))
  parser.write(xml).close()
  return elements
}

describe('Reports of firebreak check', function () {
  this.timeout(300_000)
  const directory = mkdtempSync(join(tmpdir(), 'firebreak-reports-'))
  const policies = join(directory, 'ünsere policies')
  let valid: (log: unknown) => void

  before(async function () {
    // it is fetched the first time
    this.timeout('10m')
    mkdirSync(policies)
    // of draft 4 it uses nothing that later drafts read differently, but for the name of its own address
    const { $schema: _draft, id: _address, ...schema } = await sarifSchema()
    const ajv = new Ajv({ strict: false, validateFormats: false, unicodeRegExp: false })
    const validate = ajv.compile(schema)
    valid = (log) => assert.ok(validate(log), ajv.errorsText(validate.errors))
  })
  after(() => rmSync(directory, { recursive: true }))

  function check(text: string, path = 'ünsere policies'): { log: Log; elements: SaxesTagPlain[] } {
    writeFileSync(join(policies, 'shop.yaml'), text)
    const words = ['check', path, '--sarif', 'check.sarif', '--junit', 'check.xml']
    const { stderr } = spawnSync(process.execPath, [main, ...words], { cwd: directory, encoding: 'utf8' })
    assert.equal(stderr, '')
    return {
      log: JSON.parse(readFileSync(join(directory, 'check.sarif'), 'utf8')) as Log,
      elements: elementsOf(readFileSync(join(directory, 'check.xml'), 'utf8')),
    }
  }
  const good = manifests({ address: 'h:1' })

  it('say that all is well', () => {
    const { log, elements } = check(good)
    valid(log)
    assert.deepEqual(log.runs[0]?.results, [])
    assert.deepEqual(
      elements.map(({ name }) => name),
      ['testsuites', 'testsuite', 'testcase'],
    )
    assert.equal(elements[0]?.attributes.failures, '0')
  })

  it('name the place of a mistake, from the working directory', () => {
    const { log, elements } = check(good.replace('effect: allow', 'efect: allow'))
    valid(log)
    const result = log.runs[0]?.results?.find(({ message }) =>
      message.text?.endsWith('unknown field efect; did you mean effect?'),
    )
    assert.equal(result?.level, 'error')
    const { artifactLocation, region } = result.locations?.[0]?.physicalLocation ?? {}
    assert.equal(artifactLocation?.uri, '%C3%BCnsere%20policies/shop.yaml')
    assert.ok(region?.snippet?.text?.slice((region.startColumn ?? 1) - 1).startsWith('efect: allow'))
    const failures = elements.filter(({ name }) => name === 'failure')
    assert.ok(failures.some(({ attributes }) => attributes.message?.endsWith('did you mean effect?')))
    assert.ok(elements.some(({ attributes }) => attributes.file === 'ünsere policies/shop.yaml'))
  })

  it('tell warnings from errors', () => {
    const { log, elements } = check(
      good.replace(
        'kind: GuardrailPolicy\nmetadata: {name: guard}\nspec:',
        (head) => `${head}\n  appliesTo: {identities: [testr]}`,
      ),
    )
    valid(log)
    assert.deepEqual(
      log.runs[0]?.results?.map(({ level }) => level),
      ['warning'],
    )
    assert.equal(elements[0]?.attributes.failures, '0')
    assert.equal(elements[0]?.attributes.skipped, '1')
  })

  it('name a directory that can not be read', () => {
    const { log, elements } = check(good, 'nowhere')
    valid(log)
    assert.equal(
      log.runs[0]?.results?.[0]?.locations?.[0]?.physicalLocation?.artifactLocation?.uri,
      'nowhere',
    )
    assert.equal(elements[0]?.attributes.failures, '1')
  })

  it('hold whatever stands in a message', () => {
    const message = 'a "<b>" & ]]> \u0000\u001b[31m é \ud83d\ude00'
    const location = { file: 'a&b.yaml', line: 1, column: 1 }
    const kinds = ['failure', 'error', 'skipped'] as const
    const xml = junit(
      'test',
      kinds.map((kind) => ({ name: message, location, outcome: { kind, message, details: message } })),
    )
    const cases = elementsOf(xml).filter(({ name }) => name === 'testcase')
    assert.deepEqual(
      cases.map(({ attributes }) => attributes.name),
      Array(3).fill('a "<b>" & ]]> [31m é \ud83d\ude00'),
    )
  })
})
