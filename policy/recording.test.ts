import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import type { GuardrailPolicySpec } from '@firebreak/crds'
import { parse } from 'yaml'
import { combineRecording, type RecordingTerms } from './recording.ts'

interface Case {
  readonly name: string
  readonly policies: readonly GuardrailPolicySpec['recording'][]
  readonly terms: Partial<RecordingTerms>
}

const cases = parse(readFileSync(new URL('recording.test.yaml', import.meta.url), 'utf8')) as readonly Case[]

/** As the API server fills them in. */
const defaults = {
  retention: '90d',
  bytesPerCommand: 1_048_576,
  maxBytes: 1_073_741_824,
  onLimit: 'end',
  onFailure: 'refuse',
} as const

describe('recording by several policies', () => {
  for (const { name, policies, terms } of cases)
    it(name, () => {
      const combined = combineRecording(
        policies.map((recording) => ({
          appliesTo: {},
          ...(recording && { recording: { ...defaults, ...recording } }),
        })),
      )
      for (const [field, value] of Object.entries(terms))
        assert.equal(combined[field as keyof RecordingTerms], value, field)
    })
})
