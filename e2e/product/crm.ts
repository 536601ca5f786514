/** An agent of an HTTP API in the cluster, which is reached by TLS, and another such API that nobody protects. */
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'
import { toolsImage } from '../cluster/images/standard.ts'
import { AgentPod, agentPod, type PodOptions } from './agent-pod.ts'
import type { Product } from './product.ts'
import { startTlsServers, type TlsServer } from './tls-servers.ts'

const file = (path: string): string => fileURLToPath(new URL(path, import.meta.url))
const inData = ['-n', 'data']
const inAgents = ['-n', 'agents']
const program = { name: 'program', configMap: { name: 'crm' } }

export class Crm implements AsyncDisposable {
  /** Of the role: no file or variable of the agent's may hold it. */
  readonly token = 'the-token-of-the-role'
  readonly #product: Product

  /** Both answer, and all that is declared is in force. */
  static async deploy(product: Product): Promise<Crm> {
    const crm = new Crm(product)
    try {
      // what a process left behind that was killed; on a cluster of one's own it may be in use
      if (product.cluster.machinery) await crm.#remove()
      await product.kubectl('create', 'namespace', 'data')
      await product.kubectl('create', 'namespace', 'agents')
      await crm.#startServers()
      await crm.#declare()
    } catch (error) {
      await crm[Symbol.asyncDispose]()
      throw error
    }
    return crm
  }

  private constructor(product: Product) {
    this.#product = product
  }

  /** Makes an ordinary pod of the agent, and waits until it is ready. */
  async startAgent(name: string, { spec, labels, ...options }: PodOptions = {}): Promise<AgentPod> {
    const { kubectl } = this.#product.cluster
    const manifest = agentPod('agents', name, {
      ...options,
      spec: { serviceAccountName: 'crm-bot', ...spec },
      labels: { app: 'crm-bot', ...labels },
    })
    await kubectl.apply(stringify(manifest))
    const pod = new AgentPod(kubectl, 'agents', name)
    await pod.ready()
    return pod
  }

  /** Method, Host and path of each request that came. */
  async requests(of: 'crm' | 'open' = 'crm'): Promise<string> {
    return await this.#product.kubectl('logs', of, ...inData)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#remove()
  }

  async #remove(): Promise<void> {
    await this.#product.kubectl('delete', 'namespace', 'data', 'agents', '--ignore-not-found')
  }

  async #startServers(): Promise<void> {
    await this.#product.kubectl('create', 'configmap', 'crm', ...inData, `--from-file=${file('crm.py')}`)
    const server = (name: string, secret: string): TlsServer => ({
      name,
      secret,
      secretVariable: 'TOKEN',
      container: { image: toolsImage, command: ['python3', '/program/crm.py'] },
      volumes: [program],
    })
    const servers = [server('crm', this.token), server('open', 'another-token')]
    const authority = await startTlsServers(this.#product, servers)
    await this.#product.secret('agents', 'crm', { token: this.token, 'ca.crt': authority })
  }

  async #declare(): Promise<void> {
    const product = this.#product
    await product.kubectl('create', 'serviceaccount', 'crm-bot', ...inAgents)
    await product.kubectl('annotate', 'namespace', 'data', 'firebreak.dev/resources-from=agents')
    await product.kubectl('apply', '-f', file('crm.yaml'))
    await product.inForce('agents', 'agentidentity/crm-bot', 'protectedresource/crm')
  }
}
