import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import type { GuardrailPolicySpec } from '@firebreak/crds'
import { parse } from 'yaml'
import { combineRecording, type RecordingTerms } from './recording.ts'

interface Case {
  readonly name: string
  readonly policies: readonly (Asked | null)[]
  readonly terms: Partial<RecordingTerms>
}

interface Asked extends NonNullable<GuardrailPolicySpec['recording']> {
  readonly hides?: 'rule' | 'detection'
}

const cases = parse(readFileSync(new URL('recording.test.yaml', import.meta.url), 'utf8')) as readonly Case[]

/** As the API server fills them in. */
const defaults = {
  retention: '90d',
  bytesPerCommand: 1_048_576,
  maxBytes: 1_073_741_824,
  onLimit: 'end',
  onFailure: 'refuse',
  unmasked: false,
} as const

const hiding: Readonly<Record<'rule' | 'detection', Partial<GuardrailPolicySpec>>> = {
  rule: {
    rules: [{ name: 'hide', match: {}, effect: 'mask', mask: { strategy: 'redact', indirectUse: 'deny' } }],
  },
  detection: { detection: { kinds: ['ssn'] } },
}

function policyOf(asked: Asked | null): GuardrailPolicySpec {
  if (!asked) return { appliesTo: {} }
  const { hides, ...recording } = asked
  return { appliesTo: {}, recording: { ...defaults, ...recording }, ...(hides && hiding[hides]) }
}

describe('recording by several policies', () => {
  for (const { name, policies, terms } of cases)
    it(name, () => {
      const combined = combineRecording(policies.map(policyOf))
      for (const [field, value] of Object.entries(terms))
        assert.equal(combined[field as keyof RecordingTerms], value, field)
    })
})
