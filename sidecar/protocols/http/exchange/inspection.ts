/** Which part of an exchange is left to what can be looked into, while something may have to be masked. */
import { isDeepStrictEqual } from 'node:util'
import type { Decision, FieldMask } from '@firebreak/policy'
import type { Result } from '../../../session.ts'
import type { BodyMask, MaskOf, ResponseHead } from '../request.ts'
import { whoseIs } from './conversation.ts'
import type { Passing } from './outgoing.ts'
import type { CommandRun } from './run.ts'

/** What makes an answer one of a part, or of nothing: neither could be masked as the whole is. */
export const partial = new Set(['range', 'if-range', 'if-none-match', 'if-modified-since', 'accept-encoding'])

/** Headers that are about the answer, not about what is in it. */
const saysNothing =
  /^(content-(type|length|encoding|language|disposition)|date|server|vary|age|allow|retry-after|cache-control|expires|pragma|last-modified|etag|accept-ranges|www-authenticate|location|link|access-control-.*|(x-)?ratelimit-.*|x-request-id|x-correlation-id|grpc-.*|mcp-.*)$/

const rememberedFields = 10_000
/** For a field that the policy would deny by itself. */
const nothing: FieldMask = {
  strategy: { kind: 'redact' },
  rule: { policy: 'firebreak/none', rule: 'none' },
}

/** By decision, which is the same object for the same request under the same policy. */
const knownMasks = new WeakMap<Decision, Map<string, FieldMask | undefined>>()

/** @returns undefined where the answer passes as it is; a mask for its body; or why it can't be looked into. */
export function openMask(
  { run, request, openBodyMask, inspected }: Passing,
  head: ResponseHead,
): Result<BodyMask, string> | undefined {
  const { session } = run
  const { masks, detectors } = session.terms
  const masksAny = masks || detectors.length > 0
  if (!masksAny && !inspected) return undefined
  const seen = masksAny ? { ...head, headers: head.headers.filter(([name]) => saysNothing.test(name)) } : head
  return openBodyMask(request, seen, {
    maskOf: masksOf(run),
    masksFields: masks,
    detectors,
    whose: whoseIs(session),
    maskKey: session.maskKey,
    allows: (command) => session.decide(command).effect !== 'deny',
  })
}

/** The policy is asked about each field as about a command that returns just that. */
function masksOf(run: CommandRun): MaskOf {
  const { decision } = run
  let known = knownMasks.get(decision)
  if (!known) {
    known = new Map()
    knownMasks.set(decision, known)
  }
  const remembered = known
  return (path) => {
    const key = path.join('\0')
    const before = remembered.get(key)
    if (before !== undefined || remembered.has(key)) return before
    const mask = maskFor(path, run)
    if (remembered.size < rememberedFields) remembered.set(key, mask)
    return mask
  }
}

/** Whether something that was looked at for masks would be shown otherwise now. */
export function masksChanged(run: CommandRun): boolean {
  const known = knownMasks.get(run.decision)
  if (!known) return false
  // of more than that nobody knows how it was shown
  if (known.size >= rememberedFields) return true
  return [...known].some(([key, mask]) => !isDeepStrictEqual(mask, maskFor(key.split('\0'), run)))
}

function maskFor(
  path: readonly string[],
  { session, command, kind: { root } }: CommandRun,
): FieldMask | undefined {
  const label = [...root, ...path].join('.')
  const source = { path: [...root, ...path.slice(0, -1)], part: path.at(-1) ?? '' }
  const decision = session.decide({ ...command, fields: [{ label, sources: [source], derivation: 'copy' }] })
  return decision.effect === 'deny' ? nothing : decision.masks[0]
}
