import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { loadManifests } from '@firebreak/crds'
import { parseAllDocuments, stringify } from 'yaml'
import { agentNetworkPolicies } from './agent-network-policy.ts'
import { resourceNetworkPolicies } from './resource-network-policy.ts'

const operator = {
  namespace: 'firebreak-system',
  podSelector: { matchLabels: { 'app.kubernetes.io/name': 'firebreak-operator' } },
  port: 18000,
  apiServer: { cidrs: ['192.0.2.1/32'], ports: [6443] },
}

/** Each file holds the manifests, and after the line `# policies` what is made of them. */
describe('network policies', () => {
  for (const file of globSync('testdata/*.yaml', { cwd: import.meta.dirname }).sort()) {
    it(file.replace(/^testdata\/|\.yaml$/g, '').replaceAll('-', ' '), () => {
      const [given = '', expected = ''] = readFileSync(`${import.meta.dirname}/${file}`, 'utf8').split(
        '# policies\n',
      )
      const { manifests, problems } = loadManifests([{ path: file, text: given }])
      assert.deepEqual(problems, [])
      const namespaces = /^# namespaces: (.+)$/m.exec(given)?.[1]?.split(', ') ?? ['agents']
      const made = [
        ...manifests.identities.flatMap((identity) =>
          agentNetworkPolicies(identity, manifests.resources, operator),
        ),
        ...manifests.resources.flatMap((resource) =>
          resourceNetworkPolicies(resource, manifests.identities, namespaces, operator),
        ),
      ]
      const wanted = parseAllDocuments(expected).map((document) => document.toJS())
      assert.deepEqual(
        JSON.parse(JSON.stringify(made)),
        wanted,
        stringify(made, { aliasDuplicateObjects: false }),
      )
    })
  }
})
