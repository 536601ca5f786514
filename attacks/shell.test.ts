import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { factsOfText } from '@firebreak/sidecar/protocols/shell/analysis.ts'
import { parse } from 'yaml'
import { attacksDirectory } from '../test/shop.ts'

interface Line {
  readonly name: string
  readonly line: string
}

const { attacks, benign } = parse(readFileSync(new URL('shell.yaml', attacksDirectory), 'utf8')) as {
  readonly attacks: readonly Line[]
  readonly benign: readonly (Line & { readonly programs: readonly string[] })[]
}

const allowed = new Set(['ls', 'cat', 'echo', 'test', 'sh'])

describe('attacks on what is told of a shell’s lines', () => {
  it('are at least eighty, with twenty look-alikes', () => {
    assert.ok(attacks.length >= 80)
    assert.ok(benign.length >= 20)
  })

  for (const { name, line } of attacks)
    it(`is stopped: ${name}`, () => {
      const facts = factsOfText(line)
      if (!facts) return
      const others = (facts.programs as readonly string[]).filter((program) => !allowed.has(program))
      assert.ok(others.length > 0 || (facts.writes as readonly string[]).length > 0, JSON.stringify(facts))
    })

  for (const { name, line, programs } of benign)
    it(`passes: ${name}`, () => {
      assert.deepEqual(
        [...((factsOfText(line)?.programs ?? ['unknown']) as string[])].sort(),
        [...programs].sort(),
      )
    })
})
