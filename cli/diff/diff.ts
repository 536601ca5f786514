import { parseArgs } from 'node:util'
import type { ManifestSet } from '@firebreak/crds'
import { KubernetesClient } from '@firebreak/operator/kubernetes/client.ts'
import { compilePolicy } from '@firebreak/policy'
import { loadConfiguration } from '@firebreak/sidecar'
import { kubeConfig, readManifests } from '../cluster.ts'
import { type CliCommand, UsageError } from '../command.ts'
import { showProblem, styleError } from '../output.ts'
import { problemSeenFromHere } from '../reports/places.ts'
import { differenceOf, isDifferent, showDifference } from './difference.ts'

export const diff: CliCommand = {
  name: 'diff',
  summary: 'say in words what a change of manifests changes, and for whom',
  options: ['cluster', 'context', 'namespace', 'fail-on', 'json'],
  help: `Says what a change of manifests changes, and for whom: "agent reporting/etl loses delete on public.orders".
Not texts are compared but decisions: of everybody, for every role, action and object that is named on either side, and
for everything else. What depends on a condition is said to.

Usage: firebreak diff BEFORE AFTER [--fail-on=gains] [--json]
       firebreak diff --cluster [--context CONTEXT] [--namespace NS]… AFTER [--fail-on=gains] [--json]

  BEFORE, AFTER     directories of manifests
  --cluster         what is in the cluster now is BEFORE
  --context NAME    of the kubeconfig (default: its current one)
  --namespace NS    compare these namespaces (default: those of AFTER's manifests)
  --fail-on=gains   a change that gives nobody more is exit code 0

Exit code 0: no change. 1: changes. 2: one side is not valid or can't be read.`,
  async run(words) {
    const { values, positionals } = parseArgs({
      args: [...words],
      allowPositionals: true,
      options: {
        cluster: { type: 'boolean', default: false },
        context: { type: 'string' },
        namespace: { type: 'string', multiple: true },
        'fail-on': { type: 'string', default: 'changes' },
        json: { type: 'boolean' },
      },
    })
    const failOn = values['fail-on']
    if (failOn !== 'changes' && failOn !== 'gains')
      throw new UsageError(`--fail-on takes changes or gains, not ${failOn}`)
    const [first = '', second = '', ...more] = positionals
    if (positionals.length !== (values.cluster ? 1 : 2) || more.length > 0)
      throw new UsageError(
        values.cluster
          ? 'diff --cluster takes one directory'
          : 'diff takes two directories, or one with --cluster',
      )
    if (!values.cluster && (values.context ?? values.namespace) !== undefined)
      throw new UsageError('--context and --namespace go with --cluster')
    const after = directory(values.cluster ? first : second)
    if (!after) return 2
    const before = values.cluster
      ? await cluster(values.context, values.namespace ?? namespacesOf(after))
      : directory(first)
    if (!before) return 2
    const wanted = values.namespace
    const found = differenceOf(before, wanted ? within(after, wanted) : after)
    if (values.json) console.log(JSON.stringify(found, undefined, 2))
    else for (const line of showDifference(found)) console.log(line)
    return isDifferent(found, failOn) ? 1 : 0
  },
}

function directory(path: string): ManifestSet | undefined {
  const { configuration, problems } = loadConfiguration(path)
  if (configuration) return configuration.manifests
  for (const problem of problems)
    console.error(showProblem(problemSeenFromHere(path, problem), process.stderr))
  return undefined
}

async function cluster(
  context: string | undefined,
  namespaces: readonly string[],
): Promise<ManifestSet | undefined> {
  try {
    await using client = new KubernetesClient(kubeConfig({ context }))
    const manifests = await readManifests(client, namespaces)
    const compiled = compilePolicy(manifests)
    if (compiled.ok) return manifests
    for (const { policy, field, message } of compiled.problems)
      console.error(
        `${styleError('red', 'error')}: GuardrailPolicy ${policy} in the cluster, ${field}: ${message}`,
      )
  } catch (error) {
    if (error instanceof UsageError) throw error
    console.error(
      `${styleError('red', 'error')}: the cluster can't be read: ${error instanceof Error ? error.message : String(error)}`,
    )
  }
  return undefined
}

function namespacesOf({ identities, resources, policies }: ManifestSet): readonly string[] {
  const all = [...identities, ...resources, ...policies].map(({ metadata }) => metadata.namespace)
  return [...new Set(all)]
}

function within(set: ManifestSet, namespaces: readonly string[]): ManifestSet {
  const near = <M extends { metadata: { namespace: string } }>(all: readonly M[]): M[] =>
    all.filter(({ metadata }) => namespaces.includes(metadata.namespace))
  return {
    identities: near(set.identities),
    resources: near(set.resources),
    policies: near(set.policies),
    approvals: [],
    secrets: [],
  }
}
