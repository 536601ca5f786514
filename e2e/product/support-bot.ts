/** What docs/install.md calls the first agent: examples/support-bot, as it is, with its database in a pod. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'
import { CertificateAuthority } from '../../operator/certificates/authority.ts'
import { AgentPod, agentPod, type PodOptions } from './agent-pod.ts'
import { buildPostgresImage } from './images.ts'
import { loadImages, type Product } from './product.ts'

const file = (path: string): string => fileURLToPath(new URL(path, import.meta.url))
const example = file('../../examples/support-bot')

export class SupportBot implements AsyncDisposable {
  /** Of the agents, and of everything of Firebreak's. */
  readonly namespace = 'agents'
  /** Of the database, whose pod and Service are named orders-db. */
  readonly databaseNamespace = 'data'
  readonly #product: Product

  /** The database answers, and all that is declared is in force. */
  static async deploy(product: Product): Promise<SupportBot> {
    const supportBot = new SupportBot(product)
    try {
      // what a process left behind that was killed; on a cluster of one's own it may be in use
      if (product.cluster.machinery) await supportBot.#remove()
      await supportBot.#startDatabase()
      await supportBot.#declare()
    } catch (error) {
      await supportBot[Symbol.asyncDispose]()
      throw error
    }
    return supportBot
  }

  private constructor(product: Product) {
    this.#product = product
  }

  /** Makes an ordinary pod of the agent, and waits until it is ready. */
  async startAgent(name: string, options: PodOptions = {}): Promise<AgentPod> {
    await this.#product.cluster.kubectl.apply(stringify(agentPod(this.namespace, name, options)))
    const pod = new AgentPod(this.#product.cluster.kubectl, this.namespace, name)
    await pod.ready()
    return pod
  }

  /** Runs SQL in the database itself, as its superuser. @returns rows, a line each. */
  async sql(text: string, database = 'orders'): Promise<string> {
    const psql = ['psql', '-h', '/data', '-U', 'postgres', '-d', database, '-v', 'ON_ERROR_STOP=1', '-qAt']
    const args = ['exec', '-i', '-n', this.databaseNamespace, 'orders-db', '--', ...psql]
    return await this.#product.cluster.kubectl.run(args, { input: text })
  }

  /** The addresses of the database's pod and of its Service, of both families. */
  async databaseAddresses(): Promise<{
    readonly pod: readonly string[]
    readonly service: readonly string[]
  }> {
    const of = async (kind: string, path: string): Promise<string[]> => {
      const output = ['-o', `jsonpath={${path}}`]
      const text = await this.#product.kubectl(
        'get',
        kind,
        'orders-db',
        '-n',
        this.databaseNamespace,
        ...output,
      )
      return text.split(' ')
    }
    return {
      pod: await of('pod', '.status.podIPs[*].ip'),
      service: await of('service', '.spec.clusterIPs[*]'),
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#remove()
  }

  async #remove(): Promise<void> {
    const namespaces = [this.namespace, this.databaseNamespace]
    await this.#product.kubectl('delete', 'namespace', ...namespaces, '--ignore-not-found')
  }

  async #startDatabase(): Promise<void> {
    const { kubectl } = this.#product.cluster
    await loadImages(this.#product.cluster, 'postgresql', async (place) => [await buildPostgresImage(place)])
    await this.#product.kubectl('create', 'namespace', this.databaseNamespace)
    await this.#product.kubectl('create', 'namespace', this.namespace)
    const authority = await CertificateAuthority.create('orders')
    const { certificate, key } = await authority.server({ name: 'orders-db' }, ['orders-db.data.svc'])
    await this.#product.secret(this.databaseNamespace, 'orders-db-certificate', {
      'tls.crt': certificate,
      'tls.key': key,
    })
    await this.#product.secret(this.namespace, 'orders-db-ca', { 'ca.crt': authority.certificate })
    await this.#product.kubectl('apply', '-f', file('orders.yaml'))
    await kubectl.run(['wait', 'pod/orders-db', '-n', 'data', '--for=condition=Ready', '--timeout=180s'])
    await this.sql(readFileSync(file('orders.sql'), 'utf8'), 'postgres')
  }

  /** As docs/install.md says. */
  async #declare(): Promise<void> {
    const inAgents = ['-n', this.namespace]
    await this.#product.kubectl('create', 'serviceaccount', 'support-bot', ...inAgents)
    await this.#product.secret(this.namespace, 'orders-reader', { password: 'the first password of reader' })
    await this.#product.secret(this.namespace, 'orders-maintainer', {
      password: 'the password of maintainer',
    })
    const consent = `firebreak.dev/resources-from=${this.namespace}`
    await this.#product.kubectl('annotate', 'namespace', this.databaseNamespace, consent)
    await this.#product.kubectl('apply', '-f', example)
    await this.#product.inForce(this.namespace, 'agentidentity/support-bot', 'protectedresource/orders-db')
  }
}
