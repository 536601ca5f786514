/** The product, installed on a cluster by its chart, with images of this checkout. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chart, Helm } from '../chart/helm.ts'
import { stateDirectory } from '../cluster/directories.ts'
import { lockFile } from '../cluster/lock.ts'
import { type Progress, toStandardError } from '../cluster/progress.ts'
import type { TestCluster } from '../providers/provider.ts'
import { imageValues, productImages } from './images.ts'

const kinds = ['agentidentities', 'approvalrequests', 'guardrailpolicies', 'protectedresources']

export class Product implements AsyncDisposable {
  readonly cluster: TestCluster
  /** Where the operator is. */
  readonly namespace = 'firebreak-system'
  readonly helm: Helm
  readonly #lock: AsyncDisposable

  /** As {@link prepare}, and installs it. @throws with the operator's log when it doesn't become ready. */
  static async install(cluster: TestCluster, progress: Progress = toStandardError): Promise<Product> {
    const product = await Product.prepare(cluster, progress)
    try {
      await product.#install()
    } catch (error) {
      await product[Symbol.asyncDispose]()
      throw error
    }
    return product
  }

  /** The cluster has the images, and nothing of the product. Waits while another process has it on this machine's cluster. */
  static async prepare(cluster: TestCluster, progress: Progress = toStandardError): Promise<Product> {
    const lock = await lockFile(join(stateDirectory(), 'product.lock'), progress)
    const product = new Product(cluster, await Helm.find(cluster.kubeconfig), lock)
    try {
      await loadImages(cluster, 'product', async (directory) => {
        progress("Building the product's images …")
        return await productImages(directory)
      })
      // what a process left behind that was killed; on a cluster of one's own it may be in use
      if (cluster.machinery) await product.#remove()
    } catch (error) {
      await product[Symbol.asyncDispose]()
      throw error
    }
    return product
  }

  private constructor(cluster: TestCluster, helm: Helm, lock: AsyncDisposable) {
    this.cluster = cluster
    this.helm = helm
    this.#lock = lock
  }

  /** As the cluster's administrator. @returns what it prints. */
  kubectl(...args: string[]): Promise<string> {
    return this.cluster.kubectl.run(args)
  }

  /** Makes a Secret, whose contents stand on no command line. */
  async secret(namespace: string, name: string, contents: Readonly<Record<string, string>>): Promise<void> {
    const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { namespace, name }, stringData: contents }
    await this.cluster.kubectl.run(['create', '-f', '-'], { input: JSON.stringify(secret) })
  }

  /** Waits until all that is declared is in force. @throws with what the operator says when it isn't in time. */
  async inForce(namespace: string, ...declared: readonly string[]): Promise<void> {
    const wait = ['wait', '-n', namespace, '--for=condition=Ready', '--timeout=180s', ...declared]
    const { status, stderr } = await this.cluster.kubectl.attempt(wait)
    if (status === 0) return
    const states = await this.kubectl('get', '-n', namespace, ...declared, '-o', 'yaml')
    throw new Error(`${stderr}${states}${await this.logs()}`)
  }

  /** The end of what the operator's replicas say. */
  async logs(): Promise<string> {
    const replicas = ['-l', 'app.kubernetes.io/name=firebreak-operator', '--prefix', '--tail=30']
    const { stdout, stderr } = await this.cluster.kubectl.attempt(['logs', '-n', this.namespace, ...replicas])
    return stdout + stderr
  }

  /** Of the chart, for this cluster and the images of this checkout. */
  async values(): Promise<object> {
    const apiServer = await this.#apiServer()
    // of the tests' PostgreSQL and HTTP APIs
    return { images: imageValues, networkPolicy: { apiServer, resourcePorts: [5432, 443] } }
  }

  async uninstall(): Promise<void> {
    await this.helm.run(['uninstall', 'firebreak', '--namespace', this.namespace])
  }

  /** Takes it out, with its namespace and everybody's objects of its kinds. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.#remove()
    } finally {
      this.helm[Symbol.dispose]()
      await this.#lock[Symbol.asyncDispose]()
    }
  }

  async #remove(): Promise<void> {
    const installed = ['status', 'firebreak', '--namespace', this.namespace]
    if ((await this.helm.attempt(installed)).status === 0) await this.uninstall()
    await this.kubectl('delete', 'namespace', this.namespace, '--ignore-not-found')
    const definitions = kinds.map((kind) => `${kind}.firebreak.dev`)
    await this.kubectl('delete', 'crd', '--ignore-not-found', ...definitions)
  }

  async #install(): Promise<void> {
    const { namespace } = this
    await this.kubectl('create', 'namespace', namespace)
    await this.kubectl('label', 'namespace', namespace, 'pod-security.kubernetes.io/enforce=restricted')
    await this.helm.run(['install', 'firebreak', chart, '--namespace', namespace], await this.values())
    const status = ['status', 'deployment/firebreak-operator', '-n', namespace, '--timeout=300s']
    const { stderr, status: code } = await this.cluster.kubectl.attempt(['rollout', ...status])
    if (code === 0) return
    const pods = await this.kubectl('describe', 'pods', '-n', namespace)
    throw new Error(`${stderr}\n${pods}\n${await this.logs()}`)
  }

  /** The addresses behind the API server's Service, and no others. */
  async #apiServer(): Promise<{ cidrs: string[]; ports: number[] }> {
    const selector = ['-n', 'default', '-l', 'kubernetes.io/service-name=kubernetes', '-o', 'json']
    const { items } = JSON.parse(await this.kubectl('get', 'endpointslices', ...selector)) as {
      items: { endpoints: { addresses: string[] }[]; ports: { port: number }[] }[]
    }
    const addresses = items.flatMap(({ endpoints }) => endpoints.flatMap((endpoint) => endpoint.addresses))
    return {
      cidrs: addresses.map((address) => `${address}/${address.includes(':') ? 128 : 32}`),
      ports: items.flatMap(({ ports }) => ports.map(({ port }) => port)),
    }
  }
}

/** By cluster and name. A cluster keeps what it has, and the checkout stays as it is while tests run. */
const loaded = new WeakMap<TestCluster, Map<string, Promise<void>>>()

/** Makes what `build` writes into a directory available to pods; once, for all who say this name. */
export async function loadImages(
  cluster: TestCluster,
  name: string,
  build: (directory: string) => Promise<readonly string[]>,
): Promise<void> {
  const known = loaded.get(cluster) ?? new Map<string, Promise<void>>()
  loaded.set(cluster, known)
  const loading = known.get(name) ?? load(cluster, build)
  known.set(name, loading)
  await loading.catch((error: unknown) => {
    known.delete(name)
    throw error
  })
}

async function load(
  cluster: TestCluster,
  build: (directory: string) => Promise<readonly string[]>,
): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'firebreak-images-'))
  try {
    for (const archive of await build(directory)) await cluster.loadImage(archive)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}
