import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { parse } from 'yaml'
import { canonicalPath } from './path.ts'

interface Case {
  readonly raw: string
  readonly text?: string
  /** Segments with spaces in between. */
  readonly readings?: readonly string[]
  readonly refused?: string
}

const cases = parse(readFileSync(new URL('path.test.yaml', import.meta.url), 'utf8')) as Case[]

describe('the path of a request', () => {
  for (const { raw, text, readings = [], refused } of cases)
    it(refused === undefined ? `${raw} is forwarded as ${text}` : `${raw} is refused`, () => {
      const path = canonicalPath(raw)
      if (refused !== undefined) {
        assert.ok(!path.ok, `it is taken as ${path.ok && path.value.text}`)
        assert.match(path.error, new RegExp(refused))
        return
      }
      assert.ok(path.ok, path.ok ? '' : path.error)
      assert.equal(path.value.text, text)
      const found = path.value.otherReadings.map((segments) => segments.join(' '))
      for (const reading of readings)
        assert.ok(found.includes(reading), `${reading} is not in ${found.join(', ')}`)
    })

  it('is in its one form once it was brought there', () => {
    fc.assert(
      fc.property(nasty, (raw) => {
        const once = canonicalPath(raw)
        if (!once.ok) return
        const twice = canonicalPath(once.value.text)
        assert.ok(twice.ok)
        assert.deepEqual(twice.value, once.value)
      }),
      { numRuns: 5_000 },
    )
  })

  it('leads nowhere else for the URL parser of browsers and Node', () => {
    fc.assert(
      fc.property(nasty, (raw) => {
        const path = canonicalPath(raw)
        if (!path.ok) return
        assert.equal(new URL(`http://host${path.value.text}`).pathname, path.value.text)
        // as many servers do it, to whom two slashes in front are a host
        if (!URL.canParse(path.value.text, 'http://host')) return
        const read = new URL(path.value.text, 'http://host').pathname
          .slice(1)
          .split('/')
          .map(decodeURIComponent)
        const readings = [path.value.segments, ...path.value.otherReadings].map((segments) =>
          segments.join('/'),
        )
        assert.ok(readings.includes(read.join('/')), `${raw}: ${read.join('/')}`)
      }),
      { numRuns: 5_000 },
    )
  })

  it('is never read as what is denied, in any order in which a server decodes, cuts and folds', () => {
    const steps: readonly ((path: string) => string)[] = [
      (path) => decodeURIComponent(path),
      (path) => path.replaceAll('\\', '/'),
      (path) => path.replaceAll(/;[^/]*/g, ''),
      (path) => path.replaceAll(/\/+/g, '/'),
      (path) => path.toLowerCase(),
    ]
    fc.assert(
      fc.property(nasty, fc.shuffledSubarray([...steps, steps[0] ?? String]), (raw, taken) => {
        const path = canonicalPath(raw)
        if (!path.ok) return
        let read: string
        try {
          read = taken.reduce((text, step) => step(text), path.value.text)
        } catch {
          return
        }
        if (!/^\/admin(\/|$)/.test(read)) return
        const readings = [path.value.segments, ...path.value.otherReadings]
        assert.ok(
          readings.some(([first]) => first === 'admin'),
          `${raw} is read as ${read}, and decided as ${JSON.stringify(readings)}`,
        )
      }),
      { numRuns: 20_000 },
    )
  })
})

const pieces = [
  'admin',
  'ADMIN',
  'a',
  '/',
  '//',
  ';x=1',
  '%2F',
  '%252F',
  '%5C',
  '%61dmin',
  '%2561dmin',
  '%3B',
  '.',
  '..',
  '%2e',
  '%20',
  'x',
]
const nasty = fc.array(fc.constantFrom(...pieces), { maxLength: 6 }).map((parts) => `/${parts.join('')}`)
