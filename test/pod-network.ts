/**
 * A network namespace that is joined to this machine as a pod is to its node, with processes in it as containers run
 * them. It takes root on Linux.
 */
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { debianPrograms } from '../tools/clients.ts'
import { Program } from './program.ts'

const execute = promisify(execFile)

/** @returns what the machine lacks for tests of containment, in words; undefined when they can run. */
export function lacksForPods(): string | undefined {
  if (process.platform !== 'linux') return 'Linux'
  if (process.getuid?.() !== 0) return 'root'
  for (const program of ['ip', 'unshare', 'nsenter', 'setpriv'])
    if (!(process.env.PATH ?? '').split(':').some((directory) => existsSync(join(directory, program))))
      return `the program ${program}`
  // not one that a user has at home: agents run as others
  if (!existsSync('/usr/bin/python3')) return 'the program /usr/bin/python3'
  try {
    execFileSync('unshare', ['--net', '--mount', 'true'], { stdio: 'ignore' })
  } catch {
    return 'the right to make network namespaces'
  }
  return undefined
}

/** A suite that takes root on Linux. Elsewhere it says that it did not run, and why; where CI is set that is a failure. */
export function describeInPods(title: string, suite: (this: Mocha.Suite) => void): void {
  const missing = lacksForPods()
  if (missing === undefined) describe(title, suite)
  else if (process.env.CI !== undefined)
    it(title, () => {
      throw new Error(`It takes ${missing}.`)
    })
  else console.warn(`Not run: ${title}. It takes ${missing}.`)
}

/** How a process of a pod runs. */
export type PodUser =
  /** An agent as an ordinary user. */
  | 'agent'
  /** An agent as root, with the capabilities that a container runtime gives, less those that injection takes away. */
  | 'agent root'
  /** The init container: root with NET_ADMIN and nothing else. */
  | 'rules'
  | 'envoy'
  | 'enforcer'

export const uids = { agent: 4_001, envoy: 1_000_000_101, enforcer: 1_000_000_102 } as const

/** containerd's default, less what injection drops. */
const rootCapabilities = [
  'chown',
  'dac_override',
  'fsetid',
  'fowner',
  'mknod',
  'setfcap',
  'setpcap',
  'net_bind_service',
  'sys_chroot',
  'kill',
  'audit_write',
]

/** Second parts of addresses below 10 that a test cluster has, and that of an address which tests add themselves. */
const taken = [96, 244, 245, 255]

function freeNumber(): number {
  for (;;) {
    const number = randomInt(0x10000)
    if (!taken.includes(number >> 8)) return number
  }
}

export interface Ran {
  readonly code: number | null
  /** Standard output and error. */
  readonly output: string
}

export class PodNetwork implements AsyncDisposable {
  readonly #name: string
  readonly #environment: NodeJS.ProcessEnv
  readonly #children = new Set<ChildProcess>()
  /** Of this machine, as the pod sees it. */
  readonly outside: { readonly ipv4: string; readonly ipv6: string }
  readonly inside: { readonly ipv4: string; readonly ipv6: string }
  /** Where the sidecars' sockets are; closed to agents. */
  readonly runDirectory: string
  /** What the pod has as `/etc/resolv.conf`: this machine is its resolver, the namespace is `agents`. */
  readonly resolverFile: string

  /** @param extra addresses of this machine besides, on the pod's side of it. */
  static async create(extra: readonly string[] = []): Promise<PodNetwork> {
    const programs = await debianPrograms([
      'nftables',
      'libnftables1',
      'libnftnl11',
      'libmnl0',
      'libjansson4',
      'libedit2',
      'libxtables12',
      'libbsd0',
      'libgmp10',
    ])
    const network = new PodNetwork(freeNumber(), programs)
    try {
      network.#join(extra)
    } catch (error) {
      await network[Symbol.asyncDispose]()
      throw error
    }
    return network
  }

  private constructor(number: number, programs: Readonly<Record<string, string>>) {
    this.#name = `fb${number.toString(16)}`
    this.#environment = { ...process.env, ...programs }
    const [high, low] = [number >> 8, number & 0xff]
    this.outside = { ipv4: `10.${high}.${low}.1`, ipv6: `fd00:fb:${number.toString(16)}::1` }
    this.inside = { ipv4: `10.${high}.${low}.2`, ipv6: `fd00:fb:${number.toString(16)}::2` }
    this.runDirectory = mkdtempSync(join(tmpdir(), 'firebreak-run-'))
    chmodSync(this.runDirectory, 0o777)
    this.resolverFile = join(this.runDirectory, 'resolv.conf')
    writeFileSync(
      this.resolverFile,
      `search agents.svc.cluster.local svc.cluster.local cluster.local\nnameserver ${this.outside.ipv4}\noptions ndots:5\n`,
    )
  }

  #join(extra: readonly string[]): void {
    const ip = (words: string): void => void execFileSync('ip', words.split(' '), { stdio: 'pipe' })
    const [host, pod] = [`${this.#name}h`, `${this.#name}p`]
    ip(`netns add ${this.#name}`)
    ip(`link add ${host} type veth peer name ${pod}`)
    ip(`link set ${pod} netns ${this.#name} name eth0`)
    ip(`address add ${this.outside.ipv4}/24 dev ${host}`)
    ip(`address add ${this.outside.ipv6}/64 dev ${host} nodad`)
    for (const address of extra)
      ip(`address add ${address} dev ${host}${address.includes(':') ? ' nodad' : ''}`)
    ip(`link set ${host} up`)
    const within = `-n ${this.#name}`
    // container runtimes let everybody ping
    const ping = 'echo 0 2147483647 > /proc/sys/net/ipv4/ping_group_range'
    execFileSync('nsenter', [`--net=/run/netns/${this.#name}`, 'sh', '-c', ping], { stdio: 'pipe' })
    ip(`${within} link set lo up`)
    ip(`${within} address add ${this.inside.ipv4}/24 dev eth0`)
    ip(`${within} address add ${this.inside.ipv6}/64 dev eth0 nodad`)
    ip(`${within} link set eth0 up`)
    ip(`${within} route add default via ${this.outside.ipv4}`)
    ip(`${within} -6 route add default via ${this.outside.ipv6}`)
  }

  /** The end on this machine. */
  get interface(): string {
    return `${this.#name}h`
  }

  /** Of the end in the pod. */
  get macAddress(): string {
    const shown = execFileSync('ip', ['-n', this.#name, '-json', 'link', 'show', 'eth0'], {
      encoding: 'utf8',
    })
    return (JSON.parse(shown) as { address: string }[])[0]?.address ?? ''
  }

  /** The words with which a program runs in the pod. */
  #words(user: PodUser, words: readonly string[]): string[] {
    const network = ['nsenter', `--net=/run/netns/${this.#name}`]
    const files = `mount --bind ${this.resolverFile} /etc/resolv.conf`
    const inFiles = (mount: string): string[] => ['sh', '-c', `${mount} && exec "$@"`, 'sh', 'setpriv']
    // a container has its own processes and files: of the sidecars' there are none
    const container = ['unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc']
    const hidden = `${files} && mount -t tmpfs none ${this.runDirectory}`
    switch (user) {
      case 'agent':
        return [...network, ...container, ...inFiles(hidden), ...asUser(uids.agent), ...words]
      case 'agent root':
        return [...network, ...container, ...inFiles(hidden), ...withOnly(rootCapabilities), ...words]
      case 'rules':
        return [...network, 'setpriv', ...withOnly(['net_admin']), ...words]
      default:
        return [...network, 'unshare', '--mount', ...inFiles(files), ...asUser(uids[user]), ...words]
    }
  }

  /** Runs a program to its end. */
  async run(user: PodUser, words: readonly string[], environment: NodeJS.ProcessEnv = {}): Promise<Ran> {
    const [program = '', ...rest] = this.#words(user, words)
    const options = { env: { ...this.#environment, ...environment }, timeout: 240_000 }
    try {
      const { stdout, stderr } = await execute(program, rest, options)
      return { code: 0, output: stdout + stderr }
    } catch (error) {
      const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string }
      return { code: typeof code === 'number' ? code : null, output: `${stdout}${stderr}` }
    }
  }

  /** Starts a program that stays. @param ready what it says when it is there; of its output. */
  async start(
    user: PodUser,
    words: readonly string[],
    ready: RegExp,
    environment: NodeJS.ProcessEnv = {},
  ): Promise<PodProcess> {
    return await this.startOutside(this.#words(user, words), ready, environment)
  }

  /** Starts a program of this machine that stays as long as the pod. */
  async startOutside(
    [program = '', ...rest]: readonly string[],
    ready: RegExp,
    environment: NodeJS.ProcessEnv = {},
  ): Promise<PodProcess> {
    const env = { ...this.#environment, ...environment }
    const child = spawn(program, rest, { env, stdio: ['ignore', 'pipe', 'pipe'] })
    this.#children.add(child)
    child.once('exit', () => this.#children.delete(child))
    const started = new PodProcess(child)
    await started.says(ready)
    return started
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#children].map((child) => new PodProcess(child).end('SIGKILL')))
    const left = execFileSync('ip', ['netns', 'pids', this.#name], { encoding: 'utf8' })
    for (const pid of left.split('\n').map(Number)) if (pid > 0) killIfThere(pid, 'SIGKILL')
    execFileSync('ip', ['netns', 'delete', this.#name], { stdio: 'ignore' })
    rmSync(this.runDirectory, { recursive: true, force: true })
  }
}

export class PodProcess extends Program {
  protected override kill(signal: 'SIGTERM' | 'SIGKILL'): void {
    // of an agent this is only what made its process namespace
    const children = readFileSync(`/proc/${this.pid}/task/${this.pid}/children`, 'utf8')
      .split(' ')
      .map(Number)
    for (const each of [...children, this.pid]) if (each > 0) killIfThere(each, signal)
  }
}

function killIfThere(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // it has ended meanwhile
  }
}

function asUser(uid: number): string[] {
  const user = [`--reuid=${uid}`, `--regid=${uid}`, '--clear-groups']
  return [...user, '--no-new-privs', '--bounding-set=-all', '--inh-caps=-all', '--']
}

function withOnly(capabilities: readonly string[]): string[] {
  const set = ['-all', ...capabilities.map((capability) => `+${capability}`)].join(',')
  return ['--clear-groups', '--no-new-privs', `--bounding-set=${set}`, '--inh-caps=-all', '--']
}
