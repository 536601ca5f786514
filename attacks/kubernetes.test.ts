import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import type { PolicySnapshot, Subject } from '@firebreak/policy'
import { analyse } from '@firebreak/sidecar/protocols/kubernetes/analysis/analyse.ts'
import { compileManifests, requestOf } from '@firebreak/sidecar/protocols/kubernetes/testing.ts'
import { parse, stringify } from 'yaml'
import { attacksDirectory } from '../test/shop.ts'

interface Case {
  readonly name: string
  readonly request: string
  readonly headers?: Readonly<Record<string, string>>
  /** Absent: JSON. Empty: none is sent. */
  readonly type?: string
  readonly json?: unknown
  readonly yaml?: unknown
  readonly text?: string
  readonly hex?: string
}

interface Attack extends Case {
  readonly says: string
}

const { attacks, benign } = parse(readFileSync(new URL('kubernetes.yaml', attacksDirectory), 'utf8')) as {
  readonly attacks: readonly Attack[]
  readonly benign: readonly Case[]
}

const subject: Subject = {
  chain: [{ identity: 'default/intruder', groups: [] }],
  resource: 'default/cluster',
  role: 'deployer',
}

/** @returns why it is refused, by itself or by the policy; undefined where it would be sent. */
function refusalOf(attack: Case, policy: PolicySnapshot): string | undefined {
  const body = bodyOf(attack)
  const type = body === undefined ? '' : (attack.type ?? 'application/json')
  const headers = { ...(type !== '' && { 'content-type': type }), ...attack.headers }
  const request = requestOf(attack.request, headers, body)
  if (typeof request === 'string') return request
  const analysed = analyse(request)
  if (!analysed.ok) return analysed.error.message
  const decision = policy.decide(subject, analysed.value.command)
  return decision.effect === 'allow' ? undefined : decision.reason
}

function bodyOf({ json, yaml, text, hex }: Case): string | Buffer | undefined {
  if (hex !== undefined) return Buffer.from(hex, 'hex')
  if (json !== undefined) return JSON.stringify(json)
  return yaml === undefined ? text : stringify(yaml)
}

describe('attacks on the Kubernetes API', () => {
  const manifests = readFileSync(new URL('kubernetes-policy/policy.yaml', attacksDirectory), 'utf8')
  const policy = compileManifests(manifests.replace('ADDRESS', 'api.example:6443'))

  it('has at least sixty disguises and thirty look-alikes', () => {
    assert.ok(attacks.length >= 60)
    assert.ok(benign.length >= 30)
  })

  for (const attack of attacks)
    it(`stops ${attack.name}`, () => {
      const refusal = refusalOf(attack, policy)
      assert.ok(refusal?.includes(attack.says), `it is refused as: ${refusal}`)
    })

  for (const lookAlike of benign)
    it(`lets pass ${lookAlike.name}`, () => {
      assert.equal(refusalOf(lookAlike, policy), undefined)
    })
})
