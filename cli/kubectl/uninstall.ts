/** `kubectl firebreak uninstall --check`: what taking Firebreak out of the cluster would leave, or lose. */
import { parseArgs } from 'node:util'
import { agentsLabel, labels } from '@firebreak/operator/containment/names.ts'
import { ApiError, type KubernetesClient } from '@firebreak/operator/kubernetes/client.ts'
import {
  agentIdentities,
  approvalRequests,
  guardrailPolicies,
  type KubernetesObject,
  mutatingWebhooks,
  namespaces,
  networkPolicies,
  pods,
  protectedResources,
  type Resource,
  validatingWebhooks,
} from '@firebreak/operator/kubernetes/objects.ts'
import { resourceFinalizer } from '@firebreak/operator/reconcile/protected-resource.ts'
import { isFinished } from '@firebreak/sidecar'
import { type CliCommand, UsageError } from '../command.ts'
import { inPlace, placeHelp, placeOptions } from './place.ts'
import { formatOf, outputHelp, outputOptions, showTable, wroteValue } from './show.ts'

interface Left {
  readonly what: string
  readonly objects: readonly string[]
  /** What becomes of it, and what to do. */
  readonly outcome: string
}

const { kubeconfig, context } = placeOptions
const options = { kubeconfig, context, ...outputOptions, check: { type: 'boolean' } } as const

export const uninstall: CliCommand = {
  name: 'uninstall',
  summary: 'say what taking Firebreak out of the cluster would leave, or lose',
  options: Object.keys(options),
  help: `Says what is in the whole cluster that taking Firebreak out would leave behind or lose. Nothing is changed: helm uninstall
takes it out, and firebreak cleanup where it was not installed by Helm.

Usage: kubectl firebreak uninstall --check [-o json|yaml|wide]

${outputHelp}: wide names all objects
${placeHelp.split('\n').slice(1).join('\n')}

Exit code 0: nothing is left and nothing is lost. 1: something is, or the cluster can't be read.`,
  async run(words) {
    const { values, positionals } = parseArgs({ args: [...words], allowPositionals: true, options })
    if (positionals.length > 0 || !values.check)
      throw new UsageError('uninstall takes --check: helm uninstall is what takes Firebreak out')
    const format = formatOf(values.output)
    const left = await inPlace(values, ({ client }) => whatIsLeft(client))
    if (!wroteValue(format, { left })) show(left, format === 'wide')
    return left.length === 0 ? 0 : 1
  },
}

async function whatIsLeft(client: KubernetesClient): Promise<readonly Left[]> {
  const [contained, policies, labelled, resources, identities, rules, requests, mutating, validating] =
    await Promise.all([
      client.list(pods, { labelSelector: labels.agent }),
      client.list(networkPolicies, { labelSelector: `${labels.managedBy}=firebreak` }),
      client.list(namespaces, { labelSelector: agentsLabel }),
      ofOurs(client, protectedResources),
      ofOurs(client, agentIdentities),
      ofOurs(client, guardrailPolicies),
      ofOurs(client, approvalRequests),
      client.get(mutatingWebhooks, 'firebreak'),
      client.get(validatingWebhooks, 'firebreak'),
    ])
  const held = requests.filter((request) => !isFinished(request))
  const finalized = resources.filter(({ metadata }) => metadata.finalizers?.includes(resourceFinalizer))
  const webhooks = [mutating, validating].filter((webhook) => webhook !== undefined)
  const all: Left[] = [
    {
      what: 'pods of agents',
      objects: contained.items.map(nameOf),
      outcome:
        'stay contained with the last policy, and can have nothing approved; pods made afterwards have no sidecar',
    },
    {
      what: 'requests that wait',
      objects: held.map(nameOf),
      outcome: 'are never decided: their commands are held until they expire, and do not run',
    },
    {
      what: 'finished requests',
      objects: requests.filter(isFinished).map(nameOf),
      outcome: 'are lost with their kind: who approved what stands in the audit trails alone',
    },
    {
      what: 'webhooks',
      objects: webhooks.map(({ kind, metadata }) => `${kind} ${metadata.name}`),
      outcome:
        "would refuse agents' pods without the operator: helm uninstall and firebreak cleanup remove them",
    },
    {
      what: 'finalizers',
      objects: finalized.map(nameOf),
      outcome: 'would keep resources from being deleted: helm uninstall and firebreak cleanup remove them',
    },
    {
      what: 'labels of namespaces',
      objects: labelled.items.map(nameOf),
      outcome: 'mean nothing without the webhooks: helm uninstall and firebreak cleanup remove them',
    },
    {
      what: 'NetworkPolicies',
      objects: policies.items.map(nameOf),
      outcome: `stay: kubectl delete networkpolicies -A -l ${labels.managedBy}=firebreak`,
    },
    {
      what: 'manifests',
      objects: [...identities, ...resources, ...rules].map(
        ({ kind, metadata }) => `${kind} ${metadata.namespace}/${metadata.name}`,
      ),
      outcome: 'are lost with their kinds: kubectl firebreak export writes them into a directory',
    },
  ]
  return all.filter(({ objects }) => objects.length > 0)
}

/** None where the kind is not installed. */
async function ofOurs<T extends KubernetesObject>(
  client: KubernetesClient,
  resource: Resource<T>,
): Promise<T[]> {
  try {
    return (await client.list(resource)).items
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return []
    throw error
  }
}

function nameOf({ metadata: { namespace, name } }: KubernetesObject): string {
  return namespace === undefined ? name : `${namespace}/${name}`
}

function show(left: readonly Left[], wide: boolean): void {
  if (left.length === 0) return console.log('Nothing is left, and nothing is lost.')
  showTable([
    ['WHAT', 'HOW MANY', 'WHAT BECOMES OF IT', ...(wide ? ['OBJECTS'] : [])],
    ...left.map(({ what, objects, outcome }) => [
      what,
      String(objects.length),
      outcome,
      ...(wide ? [objects.join(' ')] : []),
    ]),
  ])
}
