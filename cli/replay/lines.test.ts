import assert from 'node:assert/strict'
import { stripVTControlCharacters } from 'node:util'
import type { CommandEntry } from '@firebreak/sidecar/recording/entries.ts'
import { linesOf } from './lines.ts'

describe('a command in a replay', () => {
  const command: CommandEntry = {
    type: 'command',
    reference: 'R1',
    text: 'select $1',
    parameters: ['one'],
    actions: ['sql:select'],
    objects: ['table public.orders'],
    decision: 'allow',
    revision: 'abc',
  }
  const shown = (more: Partial<CommandEntry>): string[] =>
    linesOf({ kind: 'command', time: 0, number: 0, command: { ...command, ...more } }, 80)
      .join('\n')
      .split('\n')
      .map(stripVTControlCharacters)

  it('says what was too long to be recorded', () => {
    assert.deepEqual(
      shown({ textLeftOut: 5, parametersLeftOut: 7, objectsLeftOut: 2, opaqueLeftOut: 3, columnsLeftOut: 4 }),
      [
        '0:00:00.000 #1 allow  select $1 ── 5 characters left out ──',
        '    $1 = one',
        '    ── left out: 7 more parameters, 2 more objects, 3 more reasons not to understand it, 4 more columns ──',
      ],
    )
  })

  it('says nothing of it where nothing was', () => {
    assert.deepEqual(shown({}), ['0:00:00.000 #1 allow  select $1', '    $1 = one'])
  })
})
