/** The API server of the cluster that this process runs in. */
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { isIPv6 } from 'node:net'
import { join } from 'node:path'
import type { ApiServerAccess } from './client.ts'

/** https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/#directly-accessing-the-rest-api */
const mounted = '/var/run/secrets/kubernetes.io/serviceaccount'

/**
 * What `KubeConfig.loadFromCluster()` finds out. That one brings the models of all of Kubernetes with it, 40 MB in every replica.
 *
 * @returns undefined in a process that isn't in a pod with a service account. @param directory where its token is.
 */
export function ownCluster(environment = process.env, directory = mounted): ApiServerAccess | undefined {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = environment
  const tokenFile = join(directory, 'token')
  if (!host || !port || !existsSync(tokenFile)) return undefined
  const server = `https://${isIPv6(host) ? `[${host}]` : host}:${port}`
  return {
    getCurrentCluster: () => ({
      name: 'own',
      server,
      caFile: join(directory, 'ca.crt'),
      skipTLSVerify: false,
    }),
    getCurrentUser: () => ({ name: 'own' }),
    async applyToHTTPSOptions(options) {
      // the kubelet replaces it before it expires
      const token = (await readFile(tokenFile, 'utf8')).trim()
      options.headers = { ...options.headers, Authorization: `Bearer ${token}` }
    },
  }
}
