/** The user's own cluster, as kubectl finds it. */
import type { ManifestSet } from '@firebreak/crds'
import type { KubernetesClient } from '@firebreak/operator/kubernetes/client.ts'
import {
  agentIdentities,
  guardrailPolicies,
  protectedResources,
} from '@firebreak/operator/kubernetes/objects.ts'
import { KubeConfig } from '@kubernetes/client-node'
import { UsageError } from './command.ts'

export interface ClusterOptions {
  readonly context?: string | undefined
  /** A file, instead of where kubectl finds it. */
  readonly kubeconfig?: string | undefined
}

/** @throws UsageError when there is no such context. @throws Error when there is no such file. */
export function kubeConfig({ context, kubeconfig }: ClusterOptions): KubeConfig {
  const config = new KubeConfig()
  if (kubeconfig === undefined) config.loadFromDefault()
  else config.loadFromFile(kubeconfig)
  if (context === undefined) return config
  const known = config.getContexts().map(({ name }) => name)
  if (!known.includes(context))
    throw new UsageError(`the kubeconfig has no context ${context}; there is ${known.join(', ') || 'none'}`)
  config.setCurrentContext(context)
  return config
}

/** The namespace of the current context. */
export function contextNamespace(config: KubeConfig): string {
  return config.getContextObject(config.getCurrentContext())?.namespace ?? 'default'
}

/** What is in namespaces now. Secrets are not read. */
export async function readManifests(
  client: KubernetesClient,
  namespaces: readonly string[],
): Promise<ManifestSet> {
  const read = await Promise.all(
    namespaces.map(async (namespace) => ({
      identities: (await client.list(agentIdentities, { namespace })).items,
      resources: (await client.list(protectedResources, { namespace })).items,
      policies: (await client.list(guardrailPolicies, { namespace })).items,
    })),
  )
  return {
    identities: read.flatMap(({ identities }) => identities),
    resources: read.flatMap(({ resources }) => resources),
    policies: read.flatMap(({ policies }) => policies),
    approvals: [],
    secrets: [],
  }
}
