import { parseArgs } from 'node:util'
import { cleanUp } from '@firebreak/operator/cleanup.ts'
import { KubernetesClient } from '@firebreak/operator/kubernetes/client.ts'
import { KubeConfig } from '@kubernetes/client-node'
import { type CliCommand, UsageError } from './command.ts'

/** How long the operator's pods may take to end, in milliseconds. */
const patience = 120_000

export const cleanup: CliCommand = {
  name: 'cleanup',
  summary: 'take the operator and its webhooks out of a cluster',
  options: ['namespace', 'deployment', 'pod-labels'],
  help: `Stops the operator and removes what would be in the way without it: its webhook configurations, the label of
namespaces with agents, and its finalizers. helm uninstall runs it by itself.

NetworkPolicies and the four kinds stay: agents that run remain contained. To remove those as well:
  kubectl delete networkpolicies -A -l app.kubernetes.io/managed-by=firebreak
  kubectl delete crd agentidentities.firebreak.dev approvalrequests.firebreak.dev guardrailpolicies.firebreak.dev protectedresources.firebreak.dev

Usage: firebreak cleanup [--namespace=NAMESPACE --deployment=NAME --pod-labels=NAME=VALUE,…]

Without a deployment, the operator must have been stopped. The cluster is that of KUBECONFIG, or the one that this
runs in.`,
  async run(words) {
    const { values, positionals } = parseArgs({
      args: [...words],
      allowPositionals: true,
      options: {
        namespace: { type: 'string' },
        deployment: { type: 'string' },
        'pod-labels': { type: 'string' },
      },
    })
    const { namespace, deployment: name, 'pod-labels': pods } = values
    if (positionals.length > 0) throw new UsageError('cleanup takes options only')
    const given = [namespace, name, pods].filter((value) => value !== undefined).length
    if (given !== 0 && given !== 3)
      throw new UsageError('--namespace, --deployment and --pod-labels go together')
    const config = new KubeConfig()
    config.loadFromDefault()
    await using client = new KubernetesClient(config)
    const operator = namespace && name && pods ? { namespace, name, pods } : undefined
    await cleanUp(client, operator, AbortSignal.timeout(patience))
    console.log("the operator's webhooks, labels and finalizers are removed")
    return 0
  },
}
