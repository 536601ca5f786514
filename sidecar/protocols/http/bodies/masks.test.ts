import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { parse } from 'yaml'
import { bodyTerms, cutAt, openMask, runMask, type StrategyText } from './testing.ts'

interface Case {
  readonly name: string
  readonly type?: string
  readonly in?: string
  readonly hex?: string
  readonly out?: string
  readonly masked?: readonly string[]
  readonly refused?: string
}

const table = parse(readFileSync(new URL('masks.test.yaml', import.meta.url), 'utf8')) as {
  masks: Record<string, StrategyText>
  cases: Case[]
  detected: Case[]
}

const groups = [
  { title: 'masks', terms: bodyTerms({ masks: table.masks }), cases: table.cases },
  {
    title: 'detectors',
    terms: bodyTerms({ detectors: ['email', 'card', 'private-key'] }),
    cases: table.detected,
  },
]

for (const { title, terms, cases } of groups)
  describe(`${title} on HTTP bodies`, () => {
    for (const { name, type = 'application/json', in: text = '', hex, out, masked, refused } of cases) {
      const body = hex === undefined ? Buffer.from(text) : Buffer.from(hex, 'hex')
      const run = (chunks: readonly Buffer[]) => {
        const opened = openMask(terms, type === '' ? [] : [['content-type', type]])
        return opened.ok ? runMask(opened.value, chunks) : opened
      }
      it(`${refused === undefined ? 'look at' : 'refuse'} ${name}`, () => {
        const whole = run([body])
        if (refused !== undefined) {
          assert.ok(!whole.ok, 'it passed')
          assert.ok(whole.error.includes(refused), whole.error)
          assert.ok(!run(cutAt(body, 1)).ok)
          return
        }
        assert.ok(whole.ok, whole.ok ? '' : whole.error)
        assert.equal(whole.value.text, out)
        if (masked) assert.deepEqual(whole.value.masked, masked)
        for (let cut = 1; cut < body.length; cut++)
          assert.deepEqual(run([body.subarray(0, cut), body.subarray(cut)]), whole, `cut at ${cut}`)
        assert.deepEqual(run(cutAt(body, 1)), whole, 'byte by byte')
      })
    }
  })
