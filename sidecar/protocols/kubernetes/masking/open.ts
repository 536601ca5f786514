/** The mask for an answer of the API, by what was asked and by what the answer says it is. */
import type { Result } from '../../../session.ts'
import { PlainTextMask } from '../../http/bodies/plain-text.ts'
import type { MaskedLabels, TextMask } from '../../http/bodies/text-mask.ts'
import type { BodyTerms } from '../../http/request.ts'
import type { ResponseObjects } from '../analysis/analyse.ts'
import { DocumentMask, ResponseMask, WatchMask } from './responses.ts'

/**
 * @param objects that the answer has; undefined where it is about none, as discovery is.
 * @param mediaType of the answer.
 * @returns why it can't be looked into.
 */
export function openTextMask(
  objects: ResponseObjects | undefined,
  mediaType: string,
  terms: BodyTerms,
  labels: MaskedLabels,
): Result<TextMask, string> {
  if (!objects) return { ok: true, value: passing }
  if (objects.isText) {
    if (mediaType === 'text/plain' || mediaType === '')
      return { ok: true, value: new PlainTextMask(terms, labels) }
  } else if (mediaType === 'application/json') {
    const response = new ResponseMask(objects, terms, labels)
    return { ok: true, value: objects.watches ? new WatchMask(response) : new DocumentMask(response) }
  }
  return { ok: false, error: `an answer of type ${mediaType} can’t be looked into` }
}

/** Schemas and kinds are nothing of anybody's. */
const passing: TextMask = {
  push: (chunk) => ({ ok: true, value: Buffer.from(chunk) }),
  end: () => ({ ok: true, value: Buffer.alloc(0) }),
}
