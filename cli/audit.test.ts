import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { endOf, runLines } from '../sidecar/audit/testdata/trail.ts'
import { parseAuditTargets } from './audit-targets.ts'

const main = fileURLToPath(new URL('main.ts', import.meta.url))

describe('firebreak audit verify', function () {
  this.timeout(180_000)
  let directory: string
  const first = runLines(3)
  const second = runLines(2, { before: endOf(first) })
  const verify = (words: readonly string[], input = ''): { status: number | null; stdout: string } =>
    spawnSync(process.execPath, [main, 'audit', 'verify', ...words], { encoding: 'utf8', input })
  const file = (name: string, lines: readonly string[]): string => {
    const path = join(directory, name)
    writeFileSync(path, lines.join(''))
    return path
  }

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'firebreak-verify-'))
  })
  afterEach(() => rmSync(directory, { recursive: true }))

  it('takes files in any order, and standard input', () => {
    const files = [file('audit.jsonl', second), file('audit.jsonl.1', first)]
    for (const { status, stdout } of [verify(files), verify([], [...first, ...second].join(''))]) {
      assert.match(stdout, /^run \S+: lines 1 to 5\nrun \S+: lines 1 to 4\nwhole\n$/)
      assert.equal(status, 0)
    }
  })

  it('says the first bad line, and all of them with --json', () => {
    const path = file('audit.jsonl', first.toSpliced(2, 1))
    const { status, stdout } = verify([path])
    assert.ok(stdout.startsWith(`${path}:3: error: line 3 of ${endOf(first)?.source} is missing\n`), stdout)
    assert.equal(status, 1)
    const { problems, chains } = JSON.parse(verify(['--json', path]).stdout)
    assert.deepEqual([problems[0].file, problems[0].line, problems.length], [path, 3, 1])
    assert.equal(chains[0].hash, endOf(first)?.hash)
  })

  it('does not call nothing whole', () => {
    const { status, stdout } = verify([file('empty', [])])
    assert.equal(stdout, 'There are no lines of an audit trail.\n')
    assert.equal(status, 1)
  })
})

describe('--audit', () => {
  let directory: string
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'firebreak-targets-'))
    writeFileSync(join(directory, 'secret'), 'a secret of both sides\n')
    writeFileSync(join(directory, 'headers'), 'authorization: Bearer abc\nx-tenant: t\n')
  })
  after(() => rmSync(directory, { recursive: true }))

  it('is standard output without, and several where there are several', () => {
    assert.deepEqual(parseAuditTargets(undefined), [{ kind: 'standardOutput' }])
    assert.deepEqual(parseAuditTargets(['-', 'a.jsonl', 'b.jsonl,max-size=2MiB,max-age=12h']), [
      { kind: 'standardOutput' },
      { kind: 'file', path: 'a.jsonl' },
      { kind: 'file', path: 'b.jsonl', rotation: { bytes: 2_097_152, milliseconds: 43_200_000, keep: 7 } },
    ])
  })

  it('has a spool with room for any line', () => {
    const target = `https://logs.example/in,secret-file=${directory}/secret,spool=/spool`
    assert.throws(() => parseAuditTargets([`${target},spool-size=1023KiB`]), /at least 1MiB, not 1023KiB/)
  })

  it('reads secrets from files', () => {
    const spool = { directory: '/spool', limit: 1_048_576 }
    assert.deepEqual(
      parseAuditTargets([
        `https://logs.example/in?x=1,secret-file=${directory}/secret,spool=/spool,spool-size=1MiB,format=ocsf`,
        `otlp+http://localhost:4318,headers-file=${directory}/headers,spool=/spool,spool-size=1MiB`,
        `postgresql://audit@db.example:5433/trail,password-file=${directory}/secret,spool=/spool,spool-size=1MiB`,
      ]),
      [
        {
          kind: 'http',
          url: 'https://logs.example/in?x=1',
          secret: 'a secret of both sides',
          format: 'ocsf',
          spool,
          ca: undefined,
        },
        {
          kind: 'otlp',
          url: 'http://localhost:4318/v1/logs',
          headers: { authorization: 'Bearer abc', 'x-tenant': 't' },
          spool,
          ca: undefined,
        },
        {
          kind: 'postgresql',
          url: 'postgresql://audit@db.example:5433/trail',
          password: 'a secret of both sides',
          spool,
          ca: undefined,
        },
      ],
    )
  })
})
