/** All that is different between two sets of manifests. */
import type { ManifestSet } from '@firebreak/crds'
import { style } from '../output.ts'
import { compare } from './compare.ts'
import { type Gives, type Sentence, sentencesOf, sessionSentences } from './sentences.ts'
import { compareFields, compareSessions, type FieldChange } from './settings.ts'

export interface Difference {
  readonly changes: readonly Sentence[]
  /** Of fields that decide nothing. */
  readonly fields: readonly FieldChange[]
  /** What could not be compared. */
  readonly notes: readonly string[]
}

export function differenceOf(before: ManifestSet, after: ManifestSet): Difference {
  const comparison = compare(before, after)
  const agents = new Set(comparison.incomplete.map(({ namespace, identity }) => `${namespace}/${identity}`))
  return {
    changes: [...sentencesOf(comparison), ...sessionSentences(compareSessions(before, after))],
    fields: compareFields(before, after),
    notes: [...agents].map(
      (agent) => `so many conditions meet for ${agent} that not all of their combinations were compared`,
    ),
  }
}

/** @param counts `gains`: only what may give somebody more. What could not be compared may. */
export function isDifferent({ changes, fields, notes }: Difference, counts: 'changes' | 'gains'): boolean {
  const found = counts === 'changes' ? changes : changes.filter(({ gives }) => gives !== 'less')
  return found.length + fields.length + notes.length > 0
}

const signs: Readonly<Record<Gives, readonly [sign: string, colour: 'green' | 'red' | 'yellow']>> = {
  more: ['+', 'green'],
  less: ['-', 'red'],
  other: ['~', 'yellow'],
}

export function showDifference({ changes, fields, notes }: Difference): readonly string[] {
  const lines = [
    ...changes.map(({ agent, group, text, gives, resource, roles }) => {
      const [sign, colour] = signs[gives]
      const where = style('dim', `(${resource} as ${roles.join(' and ')})`)
      const proven = group === undefined ? '' : ` with group ${group} in its token`
      return `${style(colour, sign)} agent ${style('bold', agent)}${proven} ${text}  ${where}`
    }),
    ...fields.map(({ object, text }) => `${style('yellow', '~')} ${style('bold', object)} ${text}`),
    ...notes.map((note) => `${style('yellow', 'note')}: ${note}`),
  ]
  return lines.length === 0 ? ['nothing changes for anybody'] : lines
}
