/** For tests: requests as they are written, and policies as they are compiled. */
import assert from 'node:assert/strict'
import { loadManifests } from '@firebreak/crds'
import { type Command, compilePolicy, type PolicySnapshot, type Subject } from '@firebreak/policy'
import { readHead } from '../http/head/head.ts'
import type { HttpRequest, MaskOf } from '../http/request.ts'

/** @returns the request, or why it isn't read as one. */
export function requestOf(
  line: string,
  headers: Readonly<Record<string, string>> = {},
  body?: string | Buffer,
): HttpRequest | string {
  const [method = '', url = ''] = line.split(/ (.*)/)
  const rawHeaders = Object.entries({ host: 'api', ...headers }).flat()
  const head = readHead({ method, url, httpVersion: '1.1', rawHeaders })
  if (!head.ok) return head.error.message
  return { ...head.value, ...(body !== undefined && { body: Buffer.from(body) }) }
}

export function compileManifests(text: string): PolicySnapshot {
  const { manifests, problems } = loadManifests([{ path: 'policy.yaml', text }])
  assert.deepEqual(problems, [])
  const compiled = compilePolicy(manifests)
  assert.ok(compiled.ok)
  return compiled.snapshot
}

export function maskOfPolicy(policy: PolicySnapshot, subject: Subject, command: Command): MaskOf {
  return (path) => {
    const source = { path: path.slice(0, -1), part: path.at(-1) ?? '' }
    const field = { label: path.join('.'), sources: [source], derivation: 'copy' } as const
    const decision = policy.decide(subject, { ...command, touches: [], fields: [field] })
    assert.equal(decision.effect, 'allow', JSON.stringify(decision))
    return decision.effect === 'allow' ? decision.masks[0] : undefined
  }
}
