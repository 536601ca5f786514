import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { parse } from 'yaml'
import type { ClusterState, NetworkPolicy, Pod } from './model.ts'
import { translate } from './translate.ts'

interface Translation {
  readonly name: string
  readonly policies: readonly { readonly namespace: string; readonly spec: NetworkPolicy['spec'] }[]
  readonly chains: Readonly<Record<string, readonly string[]>>
}

const translations = parse(
  readFileSync(new URL('translations.yaml', import.meta.url), 'utf8'),
) as readonly Translation[]

function pod(namespace: string, name: string, ips: readonly string[], more: Partial<Pod['spec']> = {}): Pod {
  return {
    metadata: { namespace, name, uid: `${namespace}-${name}`, labels: { app: name } },
    spec: { containers: [], ...more },
    status: { phase: name === 'job' ? 'Succeeded' : 'Running', podIPs: ips.map((ip) => ({ ip })) },
  }
}

function namespace(name: string, labels = {}): ClusterState['namespaces'][number] {
  return { metadata: { name, labels: { 'kubernetes.io/metadata.name': name, ...labels } } }
}

const web = pod('shop', 'web', ['10.0.0.1', 'fd00::1'], {
  containers: [{ ports: [{ name: 'http', containerPort: 8080 }] }],
})
const cluster: Omit<ClusterState, 'policies'> = {
  pods: [
    web,
    pod('shop', 'db', ['10.0.0.2'], { containers: [{ ports: [{ name: 'sql', containerPort: 5432 }] }] }),
    pod('shop', 'job', ['10.0.0.3']),
    pod('tools', 'probe', ['10.0.0.4'], {
      containers: [],
      initContainers: [{ ports: [{ name: 'sql', containerPort: 5433 }] }],
    }),
    pod('host', 'agent', ['192.168.0.1'], { hostNetwork: true }),
  ],
  namespaces: [namespace('shop'), namespace('tools', { team: 'tools' }), namespace('host')],
}

describe('NetworkPolicies as nftables rules', () => {
  for (const { name, policies, chains } of translations) {
    it(name, () => {
      const state = {
        ...cluster,
        policies: policies.map(({ namespace, spec }) => ({ metadata: { namespace, name: 'policy' }, spec })),
      }
      const rules = translate(state, [{ pod: web, addresses: ['10.0.0.1', 'fd00::1'] }])
      assert.deepEqual(podChains(rules), chains)
    })
  }

  it('established connections pass, and both families of addresses lead to the pod’s chains', () => {
    const everyone: NetworkPolicy = {
      metadata: { namespace: 'shop', name: 'closed' },
      spec: { podSelector: {}, policyTypes: ['Ingress', 'Egress'] },
    }
    const rules = translate({ ...cluster, policies: [everyone] }, [
      { pod: web, addresses: ['10.0.0.1', 'fd00::1'] },
    ])
    assert.equal(
      rules.slice(rules.indexOf('  chain forward')),
      `  chain forward {
    type filter hook forward priority filter; policy accept;
    ct state established,related accept
    ip saddr vmap { 10.0.0.1 : jump egress-0 }
    ip daddr vmap { 10.0.0.1 : jump ingress-0 }
    ip6 saddr vmap { fd00::1 : jump egress-0 }
    ip6 daddr vmap { fd00::1 : jump ingress-0 }
  }
}
`,
    )
  })

  it('all earlier rules are replaced in the same transaction', () => {
    const rules = translate({ ...cluster, policies: [] }, [])
    assert.match(
      rules,
      /^table inet network-policies \{\}\ndelete table inet network-policies\ntable inet network-policies \{\n/,
    )
  })
})

/** What passes by each chain of the first pod; each ends with what is dropped. */
function podChains(rules: string): Record<string, string[]> {
  const chains = [
    ...rules.matchAll(/ {2}chain (egress|ingress)-0 \{ # shop\/web\n([^}]*(?:\{[^}]*\}[^}]*)*?)\n {2}\}/g),
  ]
  return Object.fromEntries(
    chains.map(([, direction = '', body = '']) => {
      const lines = body.split('\n').map((line) => line.trim())
      assert.equal(lines.pop(), 'counter drop')
      return [direction, lines]
    }),
  )
}
