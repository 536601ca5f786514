import type { GuardrailPolicySpec } from '@firebreak/crds'
import { seconds } from './duration.ts'

/** How a session is recorded. */
export interface RecordingTerms {
  readonly mode: 'full' | 'commands' | 'off'
  readonly keepSeconds: number
  /** Of a command's response, and of the data that is sent for it. */
  readonly bytesPerCommand: number
  /** Of one recording, compressed. */
  readonly maxBytes: number
  readonly onLimit: 'end' | 'continue'
  readonly onFailure: 'refuse' | 'continue'
  /** Whether what masks hide in responses is kept, for those whom the place names for it. */
  readonly unmasked: boolean
}

type Asked = NonNullable<GuardrailPolicySpec['recording']>

/** Each policy has what it asks for: no session goes unrecorded, and none is cut short or deleted earlier, because of another. */
export function combineRecording(policies: readonly GuardrailPolicySpec[]): RecordingTerms {
  const asked = policies.flatMap(({ recording }) =>
    recording && recording.mode !== 'off' ? [recording] : [],
  )
  const responses = asked.filter(({ mode }) => mode === 'full')
  return {
    mode: responses.length > 0 ? 'full' : asked.length > 0 ? 'commands' : 'off',
    keepSeconds: largest(asked, ({ retention }) => seconds(retention)),
    bytesPerCommand: largest(responses, ({ bytesPerCommand }) => bytesPerCommand),
    maxBytes: largest(asked, ({ maxBytes }) => maxBytes),
    onLimit: asked.some(({ onLimit }) => onLimit === 'end') ? 'end' : 'continue',
    onFailure: asked.some(({ onFailure }) => onFailure === 'refuse') ? 'refuse' : 'continue',
    unmasked: responses.some(({ unmasked }) => unmasked) && policies.filter(masks).every(keepsUnmasked),
  }
}

function masks({ rules, detection }: GuardrailPolicySpec): boolean {
  return detection !== undefined || (rules ?? []).some(({ effect }) => effect === 'mask')
}

/** Who hides a value decides whether it is kept. */
function keepsUnmasked({ recording }: GuardrailPolicySpec): boolean {
  return recording?.mode === 'full' && recording.unmasked
}

function largest(all: readonly Asked[], of: (asked: Asked) => number): number {
  return all.reduce((most, asked) => Math.max(most, of(asked)), 0)
}
