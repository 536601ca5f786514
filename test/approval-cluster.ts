/** An API server, replicas of the operator, the shop, and sidecars of agents' pods that guard it: for what people decide in a cluster. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { ApprovalRequest } from '@firebreak/crds'
import type pg from 'pg'
import type { ControlPlane, User } from '../e2e/index.ts'
import { ReplicaProcess, type ReplicaSettings } from '../operator/testdata/replica-process.ts'
import { freePort } from '../tools/postgres.ts'
import { type ApiServer, startApiServer } from './api-server.ts'
import { type Eventually, eventuallyWith } from './eventually.ts'
import { makeInjectedPod } from './injected-pod.ts'
import { Service } from './service.ts'
import { Shop } from './shop.ts'
import { SidecarProcess } from './sidecar-process.ts'

export const namespace = 'agents'

/** The API server comes to this machine for the operator's Service. */
const operatorService = `apiVersion: v1
kind: Service
metadata: {name: firebreak-operator, namespace: firebreak-system}
spec: {type: ExternalName, externalName: localhost}
`

const manifests = (address: string, password: string): string => `apiVersion: v1
kind: Secret
metadata: {name: shop-agent, namespace: agents}
stringData: {username: postgres, password: "${password}"}
---
apiVersion: v1
kind: Secret
metadata: {name: shop-maintainer, namespace: agents}
stringData: {username: maintainer, password: "of the maintainer"}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: bot, namespace: agents}
---
apiVersion: firebreak.dev/v1alpha1
kind: ProtectedResource
metadata: {name: shop, namespace: agents}
spec:
  type: postgresql
  address: ${address}
  database: shop
  tls: {mode: disable}
  roles:
    - {name: agent, credential: {secret: {name: shop-agent}}}
    - {name: maintainer, credential: {secret: {name: shop-maintainer}}}
---
apiVersion: firebreak.dev/v1alpha1
kind: AgentIdentity
metadata: {name: support-bot, namespace: agents}
spec:
  workload: {podSelector: {matchLabels: {app: support-bot}}}
  groups: [bots]
  delegation: {maxDepth: 1, to: [helper]}
  access: [{resource: shop, roles: [agent]}]
---
apiVersion: firebreak.dev/v1alpha1
kind: AgentIdentity
metadata: {name: helper, namespace: agents}
spec:
  workload: {podSelector: {matchLabels: {app: helper}}}
  access: [{resource: shop, roles: [agent]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: approver, namespace: agents}
rules:
  - {apiGroups: [firebreak.dev], resources: [approvalrequests], verbs: [get, list, watch, update, patch, approve]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: writer, namespace: agents}
rules:
  - apiGroups: [firebreak.dev]
    resources: [approvalrequests, approvalrequests/status]
    verbs: [get, list, watch, create, update, patch, delete]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: approvers, namespace: agents}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: approver}
subjects:
  - {kind: User, name: alice}
  - {kind: User, name: bob}
  - {kind: User, name: carol}
  - {kind: User, name: support-bot}
  - {kind: User, name: outsider}
  - {kind: ServiceAccount, name: bot, namespace: agents}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: writers, namespace: agents}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: writer}
subjects:
  - {kind: User, name: mallory}
---
${policy()}`

/** @param spec of the rule that asks about deletes. */
export function policy(approval = '{groups: [dba], expiresAfter: 5m}'): string {
  return `apiVersion: firebreak.dev/v1alpha1
kind: GuardrailPolicy
metadata: {name: guard, namespace: agents}
spec:
  rules:
    - {name: most, match: {actions: ["sql:select", "sql:insert", "sql:update", "sql:delete", "sql:drop"]}, effect: allow}
    - name: deletes-need-a-person
      match: {actions: ["sql:delete"]}
      effect: requireApproval
      approval: ${approval}
    - name: drops-need-two
      match: {actions: ["sql:drop"]}
      effect: requireApproval
      approval: {groups: [dba, security], quorum: 2, whileWaiting: fail, expiresAfter: 5m}
  elevations:
    - {name: cleanup, actions: ["sql:truncate"], objects: [public.carts], maxDuration: 1h, approval: {groups: [dba]}}
    - {name: maintenance, roles: [maintainer], maxDuration: 1h, approval: {groups: [dba]}}
    - {name: emergency, actions: ["sql:truncate"], maxDuration: 10m, breakGlass: true}
`
}

const cli = fileURLToPath(new URL('../cli/main.ts', import.meta.url))

/** What an agent says to the local API of its pod's sidecar, by the command line. */
export async function firebreak(sidecar: SidecarProcess, ...words: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, [cli, ...words], {
    env: { ...process.env, FIREBREAK_API: `http://127.0.0.1:${sidecar.apiPort}` },
  })
  return stdout
}

export class ApprovalCluster implements AsyncDisposable {
  readonly api: ApiServer
  readonly shop: Shop
  readonly users = new Map<string, User>()
  readonly eventually: Eventually
  readonly #stack: AsyncDisposableStack
  readonly #webhooks: Service
  readonly #control: Service
  readonly #replicas = new Map<string, { readonly process: ReplicaProcess; readonly webhooks: number }>()
  readonly #operatorUser: User
  #controlCa = ''
  #log = ''

  /** @param replicas how many; more can be started. */
  static async start(replicas = 2, more: Pick<ReplicaSettings, 'notify'> = {}): Promise<ApprovalCluster> {
    await using stack = new AsyncDisposableStack()
    const flags = {
      // to a Service's address, and not to its endpoints
      'enable-aggregator-routing': 'false',
      // there are no nodes; a test that needs a pod's log stands in for one
      'kubelet-certificate-authority': '',
    }
    const controllers = ['namespace', 'serviceaccount', 'garbagecollector']
    const api = stack.use(await startApiServer(controllers, flags))
    const shop = stack.use(await Shop.start())
    await shop.create('shop')
    await api.cluster.kubectl.run(['create', 'namespace', 'firebreak-system'])
    await api.cluster.kubectl.run(['create', 'namespace', namespace])
    await api.cluster.kubectl.apply(operatorService)
    const operatorUser = await api.cluster.user({ name: 'firebreak-operator', groups: ['system:masters'] })
    const [webhooks, control] = [stack.use(await Service.open()), stack.use(await Service.open())]
    const cluster = new ApprovalCluster(stack.move(), api, shop, webhooks, control, operatorUser)
    try {
      for (const [name, groups] of Object.entries({
        alice: ['dba'],
        bob: ['dba'],
        carol: ['security'],
        mallory: ['dba'],
        outsider: ['staff'],
        'support-bot': ['dba'],
      }))
        cluster.users.set(name, await api.cluster.user({ name, groups }))
      for (let index = 1; index <= replicas; index++) await cluster.startReplica(`replica-${index}`, more)
      await cluster.apply(manifests(`${shop.postgres.host}:${shop.postgres.port}`, shop.postgres.password))
      await cluster.eventually(
        () => cluster.kubectl('get', 'namespace', namespace, '-o', 'jsonpath={.metadata.labels}'),
        /firebreak.dev\/agents/,
      )
      return cluster
    } catch (error) {
      await cluster[Symbol.asyncDispose]()
      throw error
    }
  }

  private constructor(
    stack: AsyncDisposableStack,
    api: ApiServer,
    shop: Shop,
    webhooks: Service,
    control: Service,
    operatorUser: User,
  ) {
    this.#stack = stack
    this.api = api
    this.shop = shop
    this.#webhooks = webhooks
    this.#control = control
    this.#operatorUser = operatorUser
    this.eventually = eventuallyWith(() => this.log, 120)
  }

  get cluster(): ControlPlane {
    return this.api.cluster
  }

  /** Names of the replicas that serve. */
  get replicas(): readonly string[] {
    return [...this.#replicas.keys()]
  }

  /** What replicas have logged. */
  get log(): string {
    return [this.#log, ...[...this.#replicas.values()].map(({ process }) => process.log)].join('\n')
  }

  /** Of the streams, by way of any replica. */
  get controlPort(): number {
    return this.#control.port
  }

  get controlCa(): string {
    return this.#controlCa
  }

  async startReplica(replica: string, more: Pick<ReplicaSettings, 'notify'> = {}): Promise<void> {
    const { kubeconfig, name: user } = this.#operatorUser
    const port = await freePort()
    const webhooks = { port, servicePort: this.#webhooks.port }
    const process = this.#stack.use(
      await ReplicaProcess.start({ kubeconfig, user, replica, controlPort: 0, webhooks, ...more }),
    )
    this.#replicas.set(replica, { process, webhooks: port })
    this.#webhooks.endpoints.add(port)
    this.#control.endpoints.add(process.controlPort)
    this.#controlCa = process.controlCa
  }

  async killReplica(name: string): Promise<void> {
    const replica = this.#replicas.get(name)
    assert.ok(replica, `there is no replica ${name}`)
    this.#replicas.delete(name)
    this.#webhooks.endpoints.delete(replica.webhooks)
    this.#control.endpoints.delete(replica.process.controlPort)
    await replica.process.end('SIGKILL')
    this.#log += replica.process.log
  }

  /** The one that reconciles. */
  leader(): Promise<string> {
    const lease = ['lease', 'firebreak-operator', '-n', 'firebreak-system']
    return this.kubectl('get', ...lease, '-o', 'jsonpath={.spec.holderIdentity}')
  }

  /** One that only the API server knows: nothing runs in it. */
  async makePod(name: string, app = 'support-bot'): Promise<void> {
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace, labels: { app } },
      spec: { serviceAccountName: 'bot', containers: [{ name: 'agent', image: 'x' }] },
    }
    if (app === 'support-bot') await makeInjectedPod(this.cluster.kubectl, this.eventually, pod)
    else await this.apply(JSON.stringify(pod))
  }

  /** Makes a pod of an agent and starts its sidecar. @returns once its configuration is in force. */
  async startPod(name: string): Promise<SidecarProcess> {
    await this.makePod(name)
    return await this.startSidecar(name)
  }

  /** Lets kubectl speak as a service account. */
  async addServiceAccount(name: string): Promise<void> {
    this.users.set(name, await this.cluster.serviceAccount(namespace, name))
  }

  /** The sidecar of a pod that is there, again. */
  async startSidecar(name: string): Promise<SidecarProcess> {
    const uid = await this.kubectl('get', 'pod', name, '-n', namespace, '-o', 'jsonpath={.metadata.uid}')
    const sidecar = this.#stack.use(
      await SidecarProcess.start({
        control: `127.0.0.1:${this.controlPort}`,
        ca: this.#controlCa,
        token: await this.tokenOf(name),
        pod: { namespace, name, uid },
        listen: ['shop'],
      }),
    )
    await this.eventually(() => sidecar.log, /is in force/)
    return sidecar
  }

  /** By which the sidecar of a pod proves it. */
  async tokenOf(pod: string): Promise<string> {
    const bound = ['--bound-object-kind=Pod', `--bound-object-name=${pod}`]
    const words = ['create', 'token', 'bot', '-n', namespace, '--audience=firebreak-control']
    return (await this.kubectl(...words, ...bound)).trim()
  }

  async connect(sidecar: SidecarProcess): Promise<pg.Client> {
    return await this.shop.connect({ host: '127.0.0.1', port: sidecar.ports.get('shop') ?? 0 }, 'shop')
  }

  kubectl(...words: string[]): Promise<string> {
    return this.cluster.kubectl.run(words)
  }

  async apply(text: string): Promise<void> {
    await this.cluster.kubectl.run(['apply', '-f', '-'], { input: text })
  }

  /** Applies what changes the agent's configuration. @returns once a sidecar has what comes of it. */
  async putInForce(text: string, sidecar: SidecarProcess): Promise<void> {
    const identity = ['get', 'agentidentity', 'support-bot', '-n', namespace]
    const revision = (): Promise<string> => this.kubectl(...identity, '-o', 'jsonpath={.status.revision}')
    const before = await revision()
    await this.apply(text)
    const now = await this.eventually(revision, new RegExp(`^(?!${before}$).`))
    await this.eventually(() => sidecar.log, new RegExp(`revision ${now} is in force`))
  }

  /** What kubectl says to somebody. */
  async as(
    user: string,
    words: readonly string[],
    input?: string,
  ): Promise<{ status: number; said: string }> {
    const kubectl = this.users.get(user)?.kubectl
    assert.ok(kubectl, `there is no user ${user}`)
    const { status, stdout, stderr } = await kubectl.attempt(
      ['-n', namespace, ...words],
      ...(input === undefined ? [] : [{ input }]),
    )
    return { status: status ?? -1, said: stdout + stderr }
  }

  decide(
    user: string,
    name: string,
    decision: string,
    reason = 'because',
  ): Promise<{ status: number; said: string }> {
    const patch = JSON.stringify({ spec: { decision, reason } })
    return this.as(user, ['patch', 'approval', name, '--type=merge', '-p', patch])
  }

  async requests(): Promise<ApprovalRequest[]> {
    const text = await this.kubectl('get', 'approvals', '-n', namespace, '-o', 'json')
    return (JSON.parse(text) as { items: ApprovalRequest[] }).items
  }

  async request(name: string): Promise<ApprovalRequest> {
    return JSON.parse(
      await this.kubectl('get', 'approval', name, '-n', namespace, '-o', 'json'),
    ) as ApprovalRequest
  }

  /** The name of the request for a command, once it is there. */
  async askedFor(text: string): Promise<string> {
    let name = ''
    await this.eventually(async () => {
      const found = (await this.requests()).filter(({ spec }) => spec.command?.text === text)
      name = found.at(-1)?.metadata.name ?? ''
      return name
    }, /./)
    return name
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync()
  }
}
