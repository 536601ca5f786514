/** Answers of MCP: tools that may not be called are left out of lists, and results are masked like any JSON. */

import type { Result } from '../../../../session.ts'
import { openBodyMask } from '../../bodies/open.ts'
import type { Preparation } from '../../bodies/text-mask.ts'
import type { BodyMask, BodyTerms, HttpRequest, ResponseHead } from '../../request.ts'
import { readMessages } from './analysis.ts'
import { filterTools } from './tools.ts'

/** @param mayCall whether the identity may call a tool at all, with some arguments. */
export function openMcpMask(
  request: HttpRequest,
  response: ResponseHead,
  terms: BodyTerms,
  mayCall: (tool: string) => boolean,
): Result<BodyMask, string> {
  const prepare: Preparation = (text) => filterTools(text, mayCall)
  // a stream of events may hold the answers to earlier requests; another answer is only to this one
  return openBodyMask(request, response, terms, {
    events: prepare,
    ...(listsTools(request) && { json: prepare }),
  })
}

function listsTools(request: HttpRequest): boolean {
  if (request.method !== 'POST') return false
  const messages = readMessages(request)
  return !messages.ok || messages.value.some(({ method }) => method === 'tools/list')
}
