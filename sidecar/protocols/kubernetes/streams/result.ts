/** How a program ended, as the API server tells it: a Status object on the error channel. */
import type { Outcome } from '../../../session.ts'
import { at, elementsOf, textAt } from '../documents/document.ts'
import { parseJson, plainValue } from '../documents/json.ts'

/** @returns undefined where it succeeded, or nothing that is understood was told. */
export function failureIn(status: Buffer): Outcome['error'] {
  const parsed = parseJson(status)
  const told = parsed.ok ? plainValue(parsed.value) : undefined
  if (textAt(told, 'status') !== 'Failure') return undefined
  const exit = elementsOf(at(told, 'details', 'causes')).find(
    (cause) => textAt(cause, 'reason') === 'ExitCode',
  )
  const message = textAt(told, 'message') ?? 'the program failed'
  return { code: `exit-${textAt(exit, 'message') ?? 'unknown'}`, message }
}
