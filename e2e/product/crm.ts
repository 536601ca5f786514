/** An agent of an HTTP API in the cluster, which is reached by TLS, and another such API that nobody protects. */
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'
import { CertificateAuthority } from '../../operator/certificates/authority.ts'
import { toolsImage } from '../cluster/images/standard.ts'
import { AgentPod, agentPod, type PodOptions } from './agent-pod.ts'
import type { Product } from './product.ts'

const file = (path: string): string => fileURLToPath(new URL(path, import.meta.url))
const inData = ['-n', 'data']
const inAgents = ['-n', 'agents']

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
    const { kubectl } = this.#product.cluster
    const authority = await CertificateAuthority.create('the real one')
    await this.#product.kubectl('create', 'configmap', 'crm', ...inData, `--from-file=${file('crm.py')}`)
    for (const name of ['crm', 'open']) {
      const { certificate, key } = await authority.server({ name }, [`${name}.data.svc`])
      const token = name === 'crm' ? this.token : 'another-token'
      await this.#product.secret('data', name, { 'tls.crt': certificate, 'tls.key': key, token })
      await kubectl.apply(
        serverOf(name)
          .map((each) => stringify(each))
          .join('---\n'),
      )
    }
    await this.#product.secret('agents', 'crm', { token: this.token, 'ca.crt': authority.certificate })
    const ready = ['pod/crm', 'pod/open', ...inData, '--for=condition=Ready', '--timeout=90s']
    await this.#product.kubectl('wait', ...ready)
  }

  async #declare(): Promise<void> {
    const product = this.#product
    await product.kubectl('create', 'serviceaccount', 'crm-bot', ...inAgents)
    await product.kubectl('annotate', 'namespace', 'data', 'firebreak.dev/resources-from=agents')
    await product.kubectl('apply', '-f', file('crm.yaml'))
    await product.inForce('agents', 'agentidentity/crm-bot', 'protectedresource/crm')
  }
}

/** A pod that runs crm.py, and its Service. */
function serverOf(name: string): object[] {
  const metadata = { name, namespace: 'data', labels: { app: name } }
  const container = {
    name: 'server',
    image: toolsImage,
    command: ['python3', '/program/crm.py'],
    env: [{ name: 'TOKEN', valueFrom: { secretKeyRef: { name, key: 'token' } } }],
    readinessProbe: { tcpSocket: { port: 443 }, periodSeconds: 1 },
    volumeMounts: [
      { name: 'program', mountPath: '/program' },
      { name: 'certificate', mountPath: '/certificate' },
    ],
  }
  const volumes = [
    { name: 'program', configMap: { name: 'crm' } },
    { name: 'certificate', secret: { secretName: name } },
  ]
  const spec = { terminationGracePeriodSeconds: 1, containers: [container], volumes }
  return [
    { apiVersion: 'v1', kind: 'Pod', metadata, spec },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata,
      spec: { selector: { app: name }, ports: [{ port: 443 }] },
    },
  ]
}
