/** The form in which an answer is asked for, where something in it may have to be masked. */
import { listOf } from '../http/head/head.ts'
import type { HeaderFields, HttpRequest } from '../http/request.ts'
import { analysisOf } from './meaning.ts'

/** Objects are asked for as JSON; what else the client would take as well is not asked for. */
export function withInspectableAnswer(request: HttpRequest): HeaderFields {
  const known = analysisOf(request)
  if (!known.ok || !known.value.objects || known.value.objects.isText) return request.headers
  const accepted = listOf(request.headers, 'accept').filter((range) =>
    /^application\/json(\s*;|$)/i.test(range),
  )
  const accept = accepted.length === 0 ? 'application/json' : accepted.join(',')
  return [...request.headers.filter(([name]) => name !== 'accept'), ['accept', accept]]
}
