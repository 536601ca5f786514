import assert from 'node:assert/strict'
import { commandOfText } from '../../http/analysis/text.ts'
import { kubernetesMeaning } from '../meaning.ts'
import { kubernetesSuspicions } from './suspicions.ts'

const pod = (spec: string): string =>
  `POST /api/v1/namespaces/prod/pods\ncontent-type: application/json\n\n{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x"},"spec":${spec}}`
const binding =
  '{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"RoleBinding","metadata":{"name":"x"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"admin"},"subjects":[]}'

const cases: readonly { request: string; reaches?: string; may?: string }[] = [
  {
    request: 'DELETE /apis/firebreak.dev/v1alpha1/namespaces/prod/guardrailpolicies/x',
    reaches: 'Firebreak’s own',
  },
  {
    request: `POST /apis/rbac.authorization.k8s.io/v1/namespaces/prod/rolebindings\ncontent-type: application/json\n\n${binding}`,
    may: 'who may do what',
  },
  {
    request: pod('{"containers":[{"name":"c","image":"i","securityContext":{"privileged":true}}]}'),
    may: 'leave themselves',
  },
  { request: pod('{"hostNetwork":true,"containers":[{"name":"c","image":"i"}]}'), may: 'the node' },
  { request: 'GET /api/v1/nodes/n1/proxy/pods', may: 'a kubelet' },
  { request: pod('{"containers":[{"name":"c","image":"i"}]}') },
  { request: 'GET /api/v1/namespaces/prod/pods' },
  { request: 'GET /api/v1/nodes/n1' },
  { request: 'GET /apis/firebreak.dev/v1alpha1/namespaces/prod/guardrailpolicies' },
]

describe('what is suspicious of a Kubernetes API', () => {
  for (const { request, reaches, may } of cases)
    it(`is ${reaches ?? may ?? 'nothing'} in ${request.split('\n', 1)[0]}`, () => {
      const command = commandOfText(request, kubernetesMeaning)
      assert.ok(command.ok)
      assert.deepEqual(command.value.opaque, [])
      const said = (words: string | undefined, expected: string | undefined): void =>
        expected === undefined ? assert.equal(words, undefined) : assert.ok(words?.includes(expected), words)
      said(kubernetesSuspicions.reachesAround(command.value), reaches)
      said(kubernetesSuspicions.mayReachAround(command.value), may)
    })

  it('is the same for one pod after the other', () => {
    const tried = (request: string): string | undefined => {
      const command = commandOfText(request, kubernetesMeaning)
      return command.ok ? kubernetesSuspicions.tried(command.value) : undefined
    }
    const first = tried('DELETE /api/v1/namespaces/prod/pods/web-7d9f8-1')
    assert.equal(first, tried('DELETE /api/v1/namespaces/prod/pods/web-7d9f8-2'))
    assert.notEqual(first, tried('DELETE /api/v1/namespaces/prod/pods/db'))
    assert.ok(kubernetesSuspicions.isProbe('403') && !kubernetesSuspicions.isProbe('404'))
  })
})
