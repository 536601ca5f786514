/** What docs/install.md calls an agent of the cluster's own API: examples/kubernetes-api, as it is. */
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'
import { compileOnce } from '../../tools/go-program.ts'
import { findHelm } from '../../tools/helm.ts'
import { buildDebianImage } from '../cluster/images/build.ts'
import { AgentPod, agentPod, type PodOptions } from './agent-pod.ts'
import { loadImages, type Product } from './product.ts'

const example = fileURLToPath(new URL('../../examples/kubernetes-api', import.meta.url))
const informer = {
  sources: fileURLToPath(new URL('informer', import.meta.url)),
  main: '.',
  name: 'informer',
  what: 'an informer of client-go',
}
/** The tools image with kubectl, Helm and an informer. */
const clientsImage = 'firebreak.test/kubernetes-clients:checkout'

/** https://kubernetes.io/docs/concepts/configuration/secret/#serviceaccount-token-secrets */
const roleToken = stringify({
  apiVersion: 'v1',
  kind: 'Secret',
  type: 'kubernetes.io/service-account-token',
  metadata: {
    name: 'shop-deployer',
    namespace: 'agents',
    annotations: { 'kubernetes.io/service-account.name': 'shop-deployer' },
  },
})

export class Deployer implements AsyncDisposable {
  /** Of the agent, and of everything of Firebreak's. */
  readonly namespace = 'agents'
  /** That it deploys to. */
  readonly shop = 'shop'
  readonly #product: Product

  /** All that is declared is in force. */
  static async deploy(product: Product): Promise<Deployer> {
    const deployer = new Deployer(product)
    try {
      // what a process left behind that was killed; on a cluster of one's own it may be in use
      if (product.cluster.machinery) await deployer.#remove()
      await loadImages(product.cluster, 'kubernetes-clients', async (directory) => [
        await buildClientsImage(directory, product.cluster.kubectl.program),
      ])
      await deployer.#declare()
    } catch (error) {
      await deployer[Symbol.asyncDispose]()
      throw error
    }
    return deployer
  }

  private constructor(product: Product) {
    this.#product = product
  }

  /** Makes an ordinary pod of the agent, and waits until it is ready. */
  async startAgent(name: string, { container, spec, labels }: PodOptions = {}): Promise<AgentPod> {
    const manifest = agentPod(this.namespace, name, {
      container: { image: clientsImage, ...container },
      spec: { serviceAccountName: 'deployer', ...spec },
      labels: { app: 'deployer', ...labels },
    })
    await this.#product.cluster.kubectl.apply(stringify(manifest))
    const pod = new AgentPod(this.#product.cluster.kubectl, this.namespace, name)
    await pod.ready()
    return pod
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#remove()
  }

  async #remove(): Promise<void> {
    const namespaces = [this.namespace, this.shop]
    await this.#product.kubectl('delete', 'namespace', ...namespaces, '--ignore-not-found')
  }

  /** As docs/install.md says. */
  async #declare(): Promise<void> {
    const product = this.#product
    const inAgents = ['-n', this.namespace]
    await product.kubectl('create', 'namespace', this.namespace)
    await product.kubectl('create', 'namespace', this.shop)
    await product.kubectl('create', 'serviceaccount', 'deployer', ...inAgents)
    await product.kubectl('create', 'serviceaccount', 'shop-deployer', ...inAgents)
    const subject = `--serviceaccount=${this.namespace}:shop-deployer`
    const binding = ['rolebinding', 'shop-deployer', '-n', this.shop, '--clusterrole=edit', subject]
    await product.kubectl('create', ...binding)
    await product.cluster.kubectl.apply(roleToken)
    await product.kubectl('apply', '-f', example)
    await product.inForce(this.namespace, 'agentidentity/deployer', 'protectedresource/cluster')
  }
}

/** @returns the path of the archive. */
async function buildClientsImage(directory: string, kubectl: string): Promise<string> {
  const contents = mkdtempSync(join(tmpdir(), 'firebreak-clients-'))
  try {
    const programs = join(contents, 'usr/local/bin')
    mkdirSync(programs, { recursive: true })
    copyFileSync(kubectl, join(programs, 'kubectl'))
    copyFileSync(await findHelm(), join(programs, 'helm'))
    copyFileSync(await compileOnce(informer), join(programs, 'informer'))
    const path = join(directory, 'kubernetes-clients.image')
    await buildDebianImage(path, { name: clientsImage, contents, command: ['sleep', 'infinity'] })
    return path
  } finally {
    rmSync(contents, { recursive: true, force: true })
  }
}
