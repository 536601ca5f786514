/** Which cluster and namespace are meant, by the options of kubectl. */
import { ApiError, KubernetesClient } from '@firebreak/operator/kubernetes/client.ts'
import { inWords } from '@firebreak/sidecar/system-errors.ts'
import { contextNamespace, kubeConfig } from '../cluster.ts'
import { UsageError } from '../command.ts'

export const placeOptions = {
  kubeconfig: { type: 'string' },
  context: { type: 'string' },
  namespace: { type: 'string', short: 'n' },
} as const

export const everywhereOptions = {
  ...placeOptions,
  'all-namespaces': { type: 'boolean', short: 'A' },
} as const

export const placeHelp = `  -n, --namespace NS      default: that of the context
  --context NAME          of the kubeconfig (default: its current one)
  --kubeconfig FILE       default: KUBECONFIG, or ~/.kube/config`

export const everywhereHelp = `  -A, --all-namespaces    of all namespaces
${placeHelp}`

export interface PlaceValues {
  readonly kubeconfig?: string | undefined
  readonly context?: string | undefined
  readonly namespace?: string | undefined
  readonly 'all-namespaces'?: boolean | undefined
}

export interface Place {
  readonly client: KubernetesClient
  /** The one that is meant where only one can be. */
  readonly namespace: string
  /** For lists: nothing for all namespaces. */
  readonly selection: { readonly namespace?: string }
}

/** @throws Error that names the server, when it can't be asked. */
export async function inPlace<T>(values: PlaceValues, work: (place: Place) => Promise<T>): Promise<T> {
  const everywhere = values['all-namespaces'] === true
  if (everywhere && values.namespace !== undefined)
    throw new UsageError('--namespace and --all-namespaces exclude each other')
  const config = kubeConfig(values)
  const namespace = values.namespace ?? contextNamespace(config)
  await using client = new KubernetesClient(config)
  try {
    return await work({ client, namespace, selection: everywhere ? {} : { namespace } })
  } catch (error) {
    if (isOfConnection(error))
      throw new Error(`${config.getCurrentCluster()?.server} can't be asked: ${inWords(error)}`)
    throw error
  }
}

/** Neither what the API server answers, nor what is about a file or the words that were typed. */
function isOfConnection(error: unknown): boolean {
  if (!(error instanceof Error) || error instanceof ApiError || !('code' in error)) return false
  return !('path' in error) && !String(error.code).startsWith('ERR_PARSE_ARGS')
}
