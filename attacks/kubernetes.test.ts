import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import type { Command, Decision, PolicySnapshot, Subject } from '@firebreak/policy'
import { isOpen } from '@firebreak/sidecar/protocols/http/exchange/question.ts'
import type { HttpRequest } from '@firebreak/sidecar/protocols/http/request.ts'
import { dryRunOf } from '@firebreak/sidecar/protocols/kubernetes/dry-run.ts'
import { analysisOf } from '@firebreak/sidecar/protocols/kubernetes/meaning.ts'
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
  readonly as?: string
  /** The object that is made of the one there is. */
  readonly makes?: { readonly metadata: object }
  /** Whether what is made has to be known. */
  readonly asks?: 'no'
}

interface Attack extends Case {
  readonly says: string
}

const { attacks, benign } = parse(readFileSync(new URL('kubernetes.yaml', attacksDirectory), 'utf8')) as {
  readonly attacks: readonly Attack[]
  readonly benign: readonly Case[]
}

const subjectOf = ({ as = 'intruder' }: Case): Subject => ({
  chain: [{ identity: `default/${as}`, groups: [] }],
  resource: 'default/cluster',
  role: 'deployer',
})

/** @returns why it is refused, by itself or by the policy; undefined where it would be sent. */
function refusalOf(attack: Case, policy: PolicySnapshot): string | undefined {
  const body = bodyOf(attack)
  const type = body === undefined ? '' : (attack.type ?? 'application/json')
  const headers = { ...(type !== '' && { 'content-type': type }), ...attack.headers }
  const request = requestOf(attack.request, headers, body)
  if (typeof request === 'string') return request
  const analysed = analysisOf(request)
  if (!analysed.ok) return analysed.error.message
  const decision = decideWithResult(attack, request, policy, analysed.value.command)
  return decision.effect === 'allow' ? undefined : decision.reason
}

/** As the gateway does, with the API server's answer from the case. */
function decideWithResult(
  attack: Case,
  request: HttpRequest,
  policy: PolicySnapshot,
  command: Command,
): Decision {
  const subject = subjectOf(attack)
  const decide = (asked: Command): Decision => policy.decide(subject, asked)
  const decision = decide(command)
  const question = dryRunOf(request)
  const open = question && isOpen(question, decision, decide)
  assert.ok(!open || attack.asks !== 'no', 'the API server would be asked')
  if (!open) return decision
  assert.ok(attack.makes !== undefined, 'what is made has to be known')
  const headers = [['content-type', 'application/json']] as const
  const { metadata } = attack.makes
  const made = { ...attack.makes, metadata: { resourceVersion: '7', ...metadata } }
  const body = Buffer.from(JSON.stringify(made))
  const understood = question.understand({ status: 200, headers, body })
  assert.ok(understood.kind === 'command', JSON.stringify(understood))
  return decide(understood.command)
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
