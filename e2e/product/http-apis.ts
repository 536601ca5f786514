/** An agent of APIs that are spoken to in different ways, by the clients that agents have: http-apis.yaml. */
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'
import { AgentPod, agentPod } from './agent-pod.ts'
import { buildHttpClientsImage, httpClientsImage, programs } from './http-clients/image.ts'
import { loadImages, type Product } from './product.ts'
import { startTlsServers } from './tls-servers.ts'

const manifests = fileURLToPath(new URL('http-apis.yaml', import.meta.url))
const resources = ['crm', 'orders', 'tools', 'invoices'] as const

export class HttpApis implements AsyncDisposable {
  /** Of the roles: no file or variable of the agent's may hold them. */
  readonly secrets = {
    crm: 'the-token-of-crm',
    orders: 'the-token-of-orders',
    tools: 'the-token-of-tools',
    accounts: 'the-secret-of-the-client',
  } as const
  readonly #product: Product

  /** All of them answer, and all that is declared is in force. */
  static async deploy(product: Product): Promise<HttpApis> {
    const apis = new HttpApis(product)
    try {
      // what a process left behind that was killed; on a cluster of one's own it may be in use
      if (product.cluster.machinery) await apis.#remove()
      await loadImages(product.cluster, 'http-clients', async (place) => [await buildHttpClientsImage(place)])
      await product.kubectl('create', 'namespace', 'data')
      await product.kubectl('create', 'namespace', 'agents')
      await apis.#startServers()
      await apis.#declare()
    } catch (error) {
      await apis[Symbol.asyncDispose]()
      throw error
    }
    return apis
  }

  private constructor(product: Product) {
    this.#product = product
  }

  /** Makes an ordinary pod of the agent, and waits until it is ready. */
  async startAgent(name: string): Promise<AgentPod> {
    const { kubectl } = this.#product.cluster
    const manifest = agentPod('agents', name, {
      container: { image: httpClientsImage },
      spec: { serviceAccountName: 'buyer' },
      labels: { app: 'buyer' },
    })
    await kubectl.apply(stringify(manifest))
    const pod = new AgentPod(kubectl, 'agents', name)
    await pod.ready()
    return pod
  }

  /** What came to one of them: a line for each request, and what it has to say of it. */
  async heard(name: (typeof resources)[number] | 'accounts'): Promise<string> {
    return await this.#product.kubectl('logs', name, '-n', 'data')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#remove()
  }

  async #remove(): Promise<void> {
    await this.#product.kubectl('delete', 'namespace', 'data', 'agents', '--ignore-not-found')
  }

  async #startServers(): Promise<void> {
    const product = this.#product
    const { secrets } = this
    const all = { ...secrets, invoices: secrets.accounts }
    const servers = Object.entries(all).map(([name, secret]) => ({
      name,
      secret,
      secretVariable: 'SECRET',
      container: {
        image: httpClientsImage,
        command: ['node', programs.server, name],
        env: [{ name: 'NODE_EXTRA_CA_CERTS', value: '/certificate/ca.crt' }],
      },
    }))
    const authority = await startTlsServers(product, servers)
    await product.secret('agents', 'authority', { 'ca.crt': authority })
    for (const [name, password] of Object.entries(secrets)) await product.secret('agents', name, { password })
  }

  async #declare(): Promise<void> {
    const product = this.#product
    await product.kubectl('create', 'serviceaccount', 'buyer', '-n', 'agents')
    await product.kubectl('annotate', 'namespace', 'data', 'firebreak.dev/resources-from=agents')
    await product.kubectl('apply', '-f', manifests)
    const protectedOnes = resources.map((name) => `protectedresource/${name}`)
    await product.inForce('agents', 'agentidentity/buyer', ...protectedOnes)
  }
}
