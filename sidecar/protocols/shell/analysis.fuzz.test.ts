/** What is told of lines, held against what real shells start when they get them. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { factsOfText, withoutInput } from './analysis.ts'

/** Of these names there are programs, which do nothing but tell that they were started. */
const names = ['aa', 'bb', 'cc']
const last = 'zz'

const pieces = [
  ...names,
  ...names,
  ...[' ', ' ', ' ', '  ', '\t', ';', '|', '&', '&&', '||', '(', ')', '{ ', '; }', '!', '#', '\n'],
  ...['"', "'", '\\', '`', '$', '$(', '${', '$((', '))', '}', '$aa', '"$(', ')"', "$'"],
  ...[
    '<',
    '>',
    '<<',
    '<<<',
    '>&',
    '&>',
    '|&',
    '2>&1',
    '<(',
    '*',
    '?',
    '[',
    ']',
    '{aa,bb}',
    '=',
    'x=',
    'x=aa ',
  ],
  ...[
    'if ',
    '; then ',
    '; else ',
    '; fi',
    'for i in ',
    '; do ',
    '; done',
    'case ',
    ' in ',
    ') ',
    ';; ',
    'esac',
  ],
  ...[
    'time ',
    'eval ',
    'exec ',
    'command ',
    'sh -c ',
    'test ',
    '[ ',
    '[[ ',
    ' ]]',
    'function ',
    '() ',
    '~',
    '-',
    '1',
  ],
]

const lines = fc.oneof(
  fc.array(fc.constantFrom(...pieces), { minLength: 1, maxLength: 10 }).map((parts) => parts.join('')),
  fc
    .array(fc.tuple(fc.constantFrom(...names), fc.constantFrom(...pieces), fc.constantFrom(...pieces)), {
      minLength: 1,
      maxLength: 4,
    })
    .map((parts) => parts.map((part) => part.join('')).join(' ')),
)

describe('what is told of a shell’s line', function () {
  this.timeout('5m')
  const directory = mkdtempSync(join(tmpdir(), 'firebreak-shell-'))
  const log = join(directory, 'started')

  before(() => {
    for (const name of [...names, last]) {
      writeFileSync(join(directory, name), `#!/bin/sh\necho ${name} >> ${log}\n`)
      chmodSync(join(directory, name), 0o700)
    }
  })
  after(() => rmSync(directory, { recursive: true, force: true }))

  /** What a shell starts that reads a line, and then another one. */
  const startedBy = (shell: string, line: string): readonly string[] => {
    writeFileSync(log, '')
    const input = `${line}\n${last}\n`
    const env = { PATH: directory, HOME: directory }
    spawnSync(shell, [], { input, env, cwd: directory, timeout: 60_000 })
    return readFileSync(log, 'utf8').split('\n').filter(Boolean)
  }

  for (const shell of ['/bin/bash', '/bin/dash'].filter((path) => existsSync(path)))
    it(`is all that ${shell} starts, and the next line is a line of its own`, () => {
      let told = 0
      fc.assert(
        fc.property(lines, (line) => {
          const facts = factsOfText(line)
          if (!facts) return
          told += 1
          const programs = facts.programs as readonly string[]
          for (const text of [line, withoutInput(line, facts)]) {
            const started = startedBy(shell, text)
            assert.deepEqual(
              started.filter((name) => name !== last && !programs.includes(name)),
              [],
            )
            assert.ok(started.includes(last), 'the next line was taken for a part of this one')
          }
        }),
        { numRuns: 1_500 },
      )
      assert.ok(told > 25, `only ${told} lines were told of`)
    })

  it('is never an error, whatever the text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
        const facts = factsOfText(text)
        assert.ok(facts === undefined || Array.isArray(facts.programs))
      }),
      { numRuns: 2_000 },
    )
  })
})
