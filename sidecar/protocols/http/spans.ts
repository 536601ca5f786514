/** Requests as OpenTelemetry's conventions have them. https://opentelemetry.io/docs/specs/semconv/http/http-spans/ */
import type { Command } from '@firebreak/policy'
import type { TraceLanguage } from '../../traces/language.ts'

/** A path may name anything, and there is no end of paths: it stands in the audit line. */
export const httpSpans: TraceLanguage = {
  describe,
  status: ({ status }) => ({ 'http.response.status_code': status }),
}

function describe({ facts }: Command): ReturnType<TraceLanguage['describe']> {
  const method = facts.http?.method
  return typeof method === 'string' && usual.has(method)
    ? { name: method, attributes: { 'http.request.method': method } }
    : { name: 'HTTP', attributes: { 'http.request.method': '_OTHER' } }
}

/** All others are one: how many names there are must not be up to clients. */
const usual: ReadonlySet<string> = new Set([
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'PATCH',
  'DELETE',
  'OPTIONS',
  'QUERY',
])
