import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { loadManifests } from '@firebreak/crds'
import { compilePolicy, type PolicySnapshot, type Subject } from '@firebreak/policy'
import { readHead } from '@firebreak/sidecar/protocols/http/head/head.ts'
import { analyse } from '@firebreak/sidecar/protocols/kubernetes/analysis/analyse.ts'
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
  const [method = '', url = ''] = attack.request.split(/ (.*)/)
  const body = bodyOf(attack)
  const type = body === undefined ? '' : (attack.type ?? 'application/json')
  const headers = { host: 'api', ...(type !== '' && { 'content-type': type }), ...attack.headers }
  const rawHeaders = Object.entries(headers).flat()
  const head = readHead({ method, url, httpVersion: '1.1', rawHeaders })
  if (!head.ok) return head.error.message
  const analysed = analyse({ ...head.value, ...(body !== undefined && { body: Buffer.from(body) }) })
  if (!analysed.ok) return analysed.error.message
  const decision = policy.decide(subject, analysed.value.command)
  return decision.effect === 'allow' ? undefined : decision.reason
}

function bodyOf({ json, yaml, text }: Case): string | undefined {
  if (json !== undefined) return JSON.stringify(json)
  return yaml === undefined ? text : stringify(yaml)
}

function compile(): PolicySnapshot {
  const path = new URL('kubernetes-policy/policy.yaml', attacksDirectory)
  const text = readFileSync(path, 'utf8').replace('ADDRESS', 'api.example:6443')
  const { manifests, problems } = loadManifests([{ path: 'policy.yaml', text }])
  assert.deepEqual(problems, [])
  const compiled = compilePolicy(manifests)
  assert.ok(compiled.ok)
  return compiled.snapshot
}

describe('attacks on the Kubernetes API', () => {
  const policy = compile()

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
