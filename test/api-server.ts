/** A real API server for a test file, with our kinds in it. */
import { globSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { KubeConfig } from '@kubernetes/client-node'
import { type ControlPlane, startControlPlane, type User } from '../e2e/index.ts'
import { KubernetesClient } from '../operator/kubernetes/client.ts'

export interface ApiServer extends AsyncDisposable {
  readonly cluster: ControlPlane
  /** Of the administrator. */
  readonly client: KubernetesClient
}

/** @param controllers of kube-controller-manager. @param apiServer its flags; see {@link startControlPlane}. */
export async function startApiServer(
  controllers?: readonly string[],
  apiServer: Readonly<Record<string, string>> = {},
): Promise<ApiServer> {
  await using stack = new AsyncDisposableStack()
  const cluster = stack.use(await startControlPlane({ ...(controllers && { controllers }), apiServer }))
  const files = globSync(fileURLToPath(new URL('../crds/*.yaml', import.meta.url))).flatMap((file) => [
    '-f',
    file,
  ])
  await cluster.kubectl.run(['apply', ...files])
  await cluster.kubectl.run(['wait', '--for=condition=Established', '--timeout=180s', ...files])
  const client = stack.use(new KubernetesClient(kubeConfigOf(cluster)))
  const running = stack.move()
  return { cluster, client, [Symbol.asyncDispose]: () => running.disposeAsync() }
}

export function kubeConfigOf({ kubeconfig }: Pick<User, 'kubeconfig'>): KubeConfig {
  const config = new KubeConfig()
  config.loadFromFile(kubeconfig)
  return config
}
