/** Requests that don't pass whatever policy says, in the words of the API. */
import type { Result } from '../../../session.ts'

/** What a `Status` object says of it. */
export interface Refused {
  readonly code: 400 | 403 | 406 | 415
  readonly reason: 'BadRequest' | 'Forbidden' | 'NotAcceptable' | 'UnsupportedMediaType'
  readonly message: string
}

type Failed = Result<never, Refused>

/** It has no one meaning. */
export function malformed(message: string): Failed {
  return { ok: false, error: { code: 400, reason: 'BadRequest', message } }
}

export function forbidden(message: string): Failed {
  return { ok: false, error: { code: 403, reason: 'Forbidden', message } }
}

export function unsupported(message: string): Failed {
  return { ok: false, error: { code: 415, reason: 'UnsupportedMediaType', message } }
}

export function notAcceptable(message: string): Failed {
  return { ok: false, error: { code: 406, reason: 'NotAcceptable', message } }
}
