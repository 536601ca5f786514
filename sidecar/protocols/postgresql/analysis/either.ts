/** What holds of a statement that means one thing or another. */
import type { Command, Fact, Field } from '@firebreak/policy'
import type { StatementAnalysis } from './types.ts'

/**
 * A prepared statement keeps the plan that the server made of it, as long as nothing in the plan changes: a new table that
 * hides one of the same name goes unnoticed. So what was once true of it may still be.
 */
export function eitherMeaning(before: StatementAnalysis, now: StatementAnalysis): StatementAnalysis {
  const [one, other] = [before.command, now.command]
  if (JSON.stringify(one) === JSON.stringify(other)) return now
  const sameShape = one.fields.length === other.fields.length && before.shapeUnknown === now.shapeUnknown
  return {
    ...now,
    returnsRows: before.returnsRows || now.returnsRows,
    contextual: before.contextual || now.contextual,
    command: {
      ...other,
      touches: distinct([...other.touches, ...one.touches]),
      opaque: [
        ...new Set([...other.opaque, ...one.opaque]),
        ...(sameShape ? [] : ['what the statement gives may be as it was when it was prepared']),
      ],
      fields: sameShape
        ? other.fields.map((field, index) => eitherField(one.fields[index], field))
        : other.fields,
      indirectUses: distinct([...other.indirectUses, ...one.indirectUses]),
      facts: { ...other.facts, sql: eitherFacts(one.facts.sql, other.facts.sql) },
    },
  }
}

function distinct<Item>(items: readonly Item[]): Item[] {
  return [...new Map(items.map((item) => [JSON.stringify(item), item])).values()]
}

function eitherField(before: Field | undefined, now: Field): Field {
  if (!before || before.derivation === 'unproven' || now.derivation === 'unproven')
    return { ...now, derivation: 'unproven' }
  const copies = before.derivation === 'copy' && now.derivation === 'copy'
  return {
    ...now,
    sources: distinct([...now.sources, ...before.sources]),
    derivation: copies ? 'copy' : 'derived',
  }
}

type Facts = Command['facts'][string]

function eitherFacts(before: Facts = {}, now: Facts = {}): Facts {
  const either = Object.entries(now).map(([name, fact]): [string, Fact] => {
    const other = before[name]
    if (Array.isArray(fact) && Array.isArray(other)) return [name, [...new Set([...fact, ...other])]]
    return [name, name === 'restricted' ? fact === true && other !== false : fact]
  })
  return Object.fromEntries(either)
}
