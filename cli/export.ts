import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { KubernetesClient } from '@firebreak/operator/kubernetes/client.ts'
import { namespaces as allNamespaces, secrets } from '@firebreak/operator/kubernetes/objects.ts'
import { stringify } from 'yaml'
import { contextNamespace, kubeConfig, readManifests } from './cluster.ts'
import { type CliCommand, UsageError } from './command.ts'

export const exportCommand: CliCommand = {
  name: 'export',
  summary: "write a cluster's manifests into a directory",
  options: ['context', 'namespace', 'all-namespaces', 'secrets'],
  help: `Writes the manifests of a cluster into a directory, a file for each, as somebody would have written them: without
status and what else the API server adds. firebreak run, check, test and diff read such a directory, and so does
kubectl apply -f. Approval requests are no manifests, and stay.

Usage: firebreak export [--context NAME] [--namespace NS]… [--all-namespaces] [--secrets] DIR

  DIR               is made, or is empty
  --context NAME    of the kubeconfig (default: its current one)
  --namespace NS    may be repeated (default: that of the context)
  --secrets         write the Secrets that manifests refer to as well: whoever reads the files reads them

Exit code 0: written. 1: the cluster can't be read, or the directory can't be written.`,
  async run(words) {
    const { values, positionals } = parseArgs({
      args: [...words],
      allowPositionals: true,
      options: {
        context: { type: 'string' },
        namespace: { type: 'string', multiple: true },
        'all-namespaces': { type: 'boolean', default: false },
        secrets: { type: 'boolean', default: false },
      },
    })
    const [directory, ...more] = positionals
    if (directory === undefined || more.length > 0) throw new UsageError('export takes one directory')
    if (values.namespace && values['all-namespaces'])
      throw new UsageError('--namespace and --all-namespaces exclude each other')
    if (existsSync(directory) && readdirSync(directory).length > 0)
      throw new UsageError(`${directory} is not empty: what is gone from the cluster would stay in it`)
    const config = kubeConfig(values)
    await using client = new KubernetesClient(config)
    const wanted = values['all-namespaces']
      ? (await client.list(allNamespaces)).items.map(({ metadata }) => metadata.name)
      : (values.namespace ?? [contextNamespace(config)])
    const { identities, resources, policies } = await readManifests(client, wanted)
    const objects: Exported[] = [...identities, ...resources, ...policies]
    if (values.secrets) objects.push(...(await referredSecrets(client, [...identities, ...resources])))
    mkdirSync(directory, { recursive: true })
    for (const object of objects)
      writeFileSync(join(directory, fileName(object)), stringify(clean(object)), {
        mode: object.kind === 'Secret' ? 0o600 : 0o666,
      })
    console.log(`${objects.length} manifests are in ${directory}`)
    return 0
  },
}

/** What is written of an object besides its metadata is what has been written into it. */
interface Exported {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: {
    readonly name: string
    readonly namespace: string
    readonly labels?: Readonly<Record<string, string>>
    readonly annotations?: Readonly<Record<string, string>>
  }
  readonly spec?: unknown
  readonly type?: string | undefined
  readonly data?: Readonly<Record<string, string>> | undefined
}

/** A namespace has no dots in it, so no two objects have the same file. */
function fileName({ kind, metadata: { namespace, name } }: Exported): string {
  return `${namespace}.${kind.toLowerCase()}.${name}.yaml`
}

/** By which tools know what they applied: another one would take the object from them. */
const tracking = [
  'kubectl.kubernetes.io/',
  'argocd.argoproj.io/',
  'app.kubernetes.io/instance',
  'kustomize.toolkit.fluxcd.io/',
  'helm.toolkit.fluxcd.io/',
]

function clean({ apiVersion, kind, metadata, spec, type, data }: Exported): object {
  const labels = untracked(metadata.labels)
  const annotations = untracked(metadata.annotations)
  return {
    apiVersion,
    kind,
    metadata: {
      name: metadata.name,
      namespace: metadata.namespace,
      ...(labels && { labels }),
      ...(annotations && { annotations }),
    },
    ...(spec !== undefined && { spec }),
    ...(type !== undefined && { type }),
    ...(data !== undefined && { data }),
  }
}

function untracked(values: Readonly<Record<string, string>> = {}): Record<string, string> | undefined {
  const kept = Object.entries(values).filter(([name]) => !tracking.some((prefix) => name.startsWith(prefix)))
  return kept.length === 0 ? undefined : Object.fromEntries(kept)
}

/** @throws Error when one of them can't be read. */
async function referredSecrets(
  client: KubernetesClient,
  manifests: readonly Exported[],
): Promise<Exported[]> {
  const names = new Map(
    manifests.flatMap(({ metadata: { namespace }, spec }) =>
      secretNames(spec).map((name) => [`${namespace}/${name}`, { namespace, name }] as const),
    ),
  )
  const found: Exported[] = []
  for (const { namespace, name } of names.values()) {
    const secret = await client.get(secrets, name, namespace)
    if (secret)
      found.push({
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { ...secret.metadata, namespace },
        type: secret.type,
        data: secret.data,
      })
  }
  return found
}

/** Whatever a manifest refers to as `secret: { name: … }`. */
function secretNames(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([field, inner]: [string, unknown]) =>
    field === 'secret' && typeof inner === 'object' && inner !== null && 'name' in inner
      ? [String(inner.name)]
      : secretNames(inner),
  )
}
