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
  }
}

function largest(all: readonly Asked[], of: (asked: Asked) => number): number {
  return all.reduce((most, asked) => Math.max(most, of(asked)), 0)
}
