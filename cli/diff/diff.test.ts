import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stripVTControlCharacters } from 'node:util'
import { loadManifests, type ManifestSet } from '@firebreak/crds'
import { parse } from 'yaml'
import { differenceOf, isDifferent, showDifference } from './difference.ts'

interface Case {
  readonly title: string
  readonly changes: readonly (readonly [part: string, text: string])[]
  readonly says: readonly string[]
  readonly onlyLess?: boolean
}

const file = (path: string): string => fileURLToPath(new URL(path, import.meta.url))
const text = readFileSync(file('testdata/before.yaml'), 'utf8')
const cases = parse(readFileSync(file('testdata/cases.yaml'), 'utf8')) as Case[]

function manifestsIn(yaml: string): ManifestSet {
  const { manifests, problems } = loadManifests([{ path: 'a.yaml', text: yaml }])
  assert.deepEqual(
    problems.filter(({ severity }) => severity === 'error'),
    [],
  )
  return manifests
}

describe('firebreak diff', function () {
  this.timeout(300_000)

  for (const { title, changes, says, onlyLess = false } of cases)
    it(`says of ${title} what it changes`, () => {
      const changed = changes.reduce((sofar, [part, replacement]) => {
        assert.ok(sofar.includes(part), part)
        return sofar.replace(part, replacement)
      }, text)
      const found = differenceOf(manifestsIn(text), manifestsIn(changed))
      const lines = showDifference(found).map(stripVTControlCharacters)
      for (const line of says) assert.ok(lines.includes(line), lines.join('\n'))
      assert.equal(isDifferent(found, 'changes'), says[0] !== 'nothing changes for anybody')
      assert.equal(isDifferent(found, 'gains'), !onlyLess, lines.join('\n'))
    })

  it('compares directories, and tells programs the same', () => {
    const directory = mkdtempSync(join(tmpdir(), 'firebreak-diff-'))
    try {
      const sides = ['before', 'after'].map((name) => join(directory, name))
      for (const side of sides) mkdirSync(side)
      const diff = (changed: string, ...options: string[]) => {
        for (const [index, side] of sides.entries())
          writeFileSync(join(side, 'a.yaml'), index === 0 ? text : changed)
        const words = [file('../main.ts'), 'diff', ...sides, ...options]
        return spawnSync(process.execPath, words, { encoding: 'utf8' })
      }
      const less = text.replace('[public.orders, public.carts]', '[public.carts]')
      const { status, stdout } = diff(less, '--json')
      assert.equal(status, 1)
      assert.deepEqual(JSON.parse(stdout), {
        changes: [
          {
            agent: 'reporting/etl',
            resource: 'orders-db',
            roles: ['reader', 'writer'],
            gives: 'less',
            text: 'loses insert and delete on public.orders',
          },
          {
            agent: 'reporting/ci',
            group: 'jobs',
            resource: 'orders-db',
            roles: ['reader'],
            gives: 'less',
            text: 'loses insert and delete on public.orders',
          },
        ],
        fields: [],
        notes: [],
      })
      assert.equal(diff(less, '--fail-on=gains').status, 0)
      assert.equal(diff(text).status, 0)
      const broken = diff(text.replace('effect: allow', 'effect: alow'))
      assert.equal(broken.status, 2)
      assert.match(broken.stderr, /after\/a\.yaml:\d+:\d+: error: .*did you mean allow\?/)
    } finally {
      rmSync(directory, { recursive: true })
    }
  })
})
