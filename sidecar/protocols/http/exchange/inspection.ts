/** Which part of an exchange is left to what can be looked into, while something may have to be masked. */
import type { FieldMask } from '@firebreak/policy'
import type { MaskOf, ResponseHead } from '../request.ts'
import type { CommandRun } from './run.ts'

/** What makes an answer one of a part, or of nothing: neither could be masked as the whole is. */
export const partial = new Set(['range', 'if-range', 'if-none-match', 'if-modified-since', 'accept-encoding'])

/** Headers that are about the answer, not about what is in it. */
export const saysNothing =
  /^(content-(type|length|encoding|language|disposition)|date|server|vary|age|allow|retry-after|cache-control|expires|pragma|last-modified|etag|accept-ranges|www-authenticate|location|link|access-control-.*|(x-)?ratelimit-.*|x-request-id|x-correlation-id|grpc-.*|mcp-.*)$/

export function mayHaveBody(method: string, { status, headers }: ResponseHead): boolean {
  if (method === 'HEAD' || status === 204 || status === 304) return false
  return !headers.some(([name, value]) => name === 'content-length' && value === '0')
}

const rememberedFields = 10_000
/** For a field that the policy would deny by itself. */
const nothing: FieldMask = {
  strategy: { kind: 'redact' },
  rule: { policy: 'firebreak/none', rule: 'none' },
}

/** The policy is asked about each field as about a command that returns just that. */
export function masksOf({ session, command, kind: { root } }: CommandRun): MaskOf {
  const known = new Map<string, FieldMask | undefined>()
  return (path) => {
    const key = path.join('\0')
    if (known.has(key)) return known.get(key)
    const label = [...root, ...path].join('.')
    const source = { path: [...root, ...path.slice(0, -1)], part: path.at(-1) ?? '' }
    const decision = session.decide({
      ...command,
      fields: [{ label, sources: [source], derivation: 'copy' }],
    })
    const mask = decision.effect === 'deny' ? nothing : decision.masks[0]
    if (known.size < rememberedFields) known.set(key, mask)
    return mask
  }
}
