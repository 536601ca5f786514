/** A cluster that is there already, by KUBECONFIG and its current context, whose user must be an administrator. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Subject } from '../../operator/certificates/authority.ts'
import type { User } from '../cluster/control-plane/start.ts'
import { Kubectl } from '../cluster/kubectl.ts'
import { buildProgram } from '../cluster/program/build.ts'
import type { Progress } from '../cluster/progress.ts'
import type { ClusterProvider, TestCluster } from './provider.ts'

interface Kubeconfig {
  readonly users: readonly { readonly name: string; readonly user: object }[]
}

export const existing: ClusterProvider = {
  async provide(progress) {
    const path = process.env.KUBECONFIG
    if (path === undefined) throw new Error('KUBECONFIG must name the kubeconfig of the cluster to test on')
    return clusterOfKubeconfig(path, progress, {
      loadImage: async (archive) =>
        progress(`${archive} must be in a registry that the cluster's nodes pull from`),
      dispose: async () => {},
    })
  },
}

/** @throws when its current context doesn't lead to a cluster's administrator. */
export async function clusterOfKubeconfig(
  path: string,
  progress: Progress,
  { loadImage, dispose }: { loadImage: TestCluster['loadImage']; dispose: () => Promise<void> },
): Promise<TestCluster> {
  const { kubectl: program } = await buildProgram(progress)
  const directory = mkdtempSync(join(tmpdir(), 'firebreak-cluster-'))
  // a copy with all that it refers to, so that other users can be made of it
  const kubectlOf = (kubeconfig: string): Kubectl => new Kubectl(program, kubeconfig, homedir())
  const view = await kubectlOf(path).run([
    'config',
    'view',
    '--raw',
    '--minify',
    '--flatten',
    '--output=json',
  ])
  const config = JSON.parse(view) as Kubeconfig
  let count = 0
  const write = (name: string, user: object): User => {
    const kubeconfig = join(directory, `user-${++count}.kubeconfig`)
    const users = config.users.map((entry) => ({ ...entry, user }))
    writeFileSync(kubeconfig, JSON.stringify({ ...config, users }), { mode: 0o600 })
    return { name, kubeconfig, kubectl: kubectlOf(kubeconfig) }
  }
  const administrator = config.users[0]?.user ?? {}
  const { kubeconfig, kubectl } = write('administrator', administrator)
  if ((await kubectl.attempt(['auth', 'can-i', '*', '*', '--all-namespaces'])).status !== 0)
    throw new Error(
      `The user of ${path} is not an administrator of its cluster, or the cluster doesn't answer`,
    )
  return {
    kubeconfig,
    kubectl,
    machinery: undefined,
    // certificates can't be had everywhere; an administrator may act as anyone
    user: async ({ name, groups = [] }: Subject) =>
      write(name, { ...administrator, as: name, 'as-groups': groups }),
    serviceAccount: async (namespace, name, audience) => {
      const audiences = audience === undefined ? [] : [`--audience=${audience}`]
      const token = await kubectl.run(['create', 'token', name, `--namespace=${namespace}`, ...audiences])
      return write(`system:serviceaccount:${namespace}:${name}`, { token: token.trim() })
    },
    loadImage,
    [Symbol.asyncDispose]: async () => {
      await dispose()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}
