/** Takes out of a cluster what would be in the way without the operator. */

import { setTimeout as delay } from 'node:timers/promises'
import type { V1Deployment } from '@kubernetes/client-node'
import { agentsLabel } from './containment/names.ts'
import type { KubernetesClient } from './kubernetes/client.ts'
import {
  mutatingWebhooks,
  namespaces,
  type Plain,
  pods,
  protectedResources,
  Resource,
  validatingWebhooks,
} from './kubernetes/objects.ts'
import { resourceFinalizer } from './reconcile/protected-resource.ts'

const deployments = new Resource<Plain<V1Deployment>>('apps/v1', 'Deployment', 'deployments')

export interface OperatorDeployment {
  readonly namespace: string
  readonly name: string
  /** Selector of its pods, as `name=value,name=value`. */
  readonly pods: string
}

/**
 * Stops the operator, which would put everything back, and removes its webhook configurations, the label of namespaces
 * with agents, and its finalizers. NetworkPolicies and the four kinds stay: agents that run remain contained.
 *
 * @param operator undefined where none runs.
 */
export async function cleanUp(
  client: KubernetesClient,
  operator: OperatorDeployment | undefined,
  signal: AbortSignal,
): Promise<void> {
  if (operator) await stop(client, operator, signal)
  await client.delete(mutatingWebhooks, 'firebreak')
  await client.delete(validatingWebhooks, 'firebreak')
  const labelled = await client.list(namespaces, { labelSelector: agentsLabel })
  for (const { metadata } of labelled.items)
    await client.merge(namespaces, metadata.name, undefined, {
      metadata: { labels: { [agentsLabel]: null } },
    })
  for (const { metadata } of (await client.list(protectedResources)).items) {
    const { name, namespace, finalizers = [], resourceVersion } = metadata
    const others = finalizers.filter((each) => each !== resourceFinalizer)
    if (others.length === finalizers.length) continue
    await client.merge(protectedResources, name, namespace, {
      metadata: { finalizers: others, resourceVersion },
    })
  }
}

async function stop(
  client: KubernetesClient,
  { namespace, name, pods: labelSelector }: OperatorDeployment,
  signal: AbortSignal,
): Promise<void> {
  await client.merge(deployments, name, namespace, { spec: { replicas: 0 } })
  while ((await client.list(pods, { namespace, labelSelector }, signal)).items.length > 0)
    await delay(500, undefined, { signal })
}
