/** A real API server with gateways in front of it, and kubectl as agents have it. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { Guard } from '../../test/shop.ts'
import { type ControlPlane, Kubectl, startControlPlane } from '../index.ts'

export interface Agent {
  readonly guard: Guard
  readonly kubectl: Kubectl
}

export class GuardedApi implements AsyncDisposable {
  readonly plane: ControlPlane
  readonly #token: string
  readonly #directory = mkdtempSync(join(tmpdir(), 'firebreak-kubectl-'))
  readonly #guards: Guard[] = []

  /** With a namespace `prod`, and an account of the gateways that may do everything. */
  static async start(): Promise<GuardedApi> {
    const plane = await startControlPlane()
    const { kubectl } = plane
    await kubectl.run(['create', 'namespace', 'prod'])
    await kubectl.run(['create', 'serviceaccount', 'role', '--namespace=default'])
    const binding = ['create', 'clusterrolebinding', 'role', '--clusterrole=cluster-admin']
    await kubectl.run([...binding, '--serviceaccount=default:role'])
    const token = await kubectl.run(['create', 'token', 'role', '--namespace=default'])
    return new GuardedApi(plane, token.trim())
  }

  private constructor(plane: ControlPlane, token: string) {
    this.plane = plane
    this.#token = token
  }

  /** @param manifests of a gateway of its own, by the API server's address. */
  async agent(manifests: (address: string) => string): Promise<Agent> {
    const { endpoint, ca, kubectl } = this.plane
    const files = { 'firebreak.yaml': manifests(new URL(endpoint).host), 'ca.crt': ca }
    const guard = await Guard.start(files, this.#token)
    this.#guards.push(guard)
    const kubeconfig = join(this.#directory, `kubeconfig-${this.#guards.length}`)
    const cluster = { server: `http://127.0.0.1:${guard.address.port}` }
    writeFileSync(
      kubeconfig,
      stringify({
        apiVersion: 'v1',
        kind: 'Config',
        clusters: [{ name: 'guarded', cluster }],
        contexts: [{ name: 'guarded', context: { cluster: 'guarded', user: 'agent' } }],
        users: [{ name: 'agent', user: {} }],
        'current-context': 'guarded',
      }),
      { mode: 0o600 },
    )
    return { guard, kubectl: new Kubectl(kubectl.program, kubeconfig, this.#directory) }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const guard of this.#guards) await guard[Symbol.asyncDispose]()
    await this.plane[Symbol.asyncDispose]()
    rmSync(this.#directory, { recursive: true, force: true })
  }
}
