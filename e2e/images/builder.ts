/** Builds the Dockerfile as a user does, on the test cluster's own Debian: by buildah, which needs neither a daemon nor a registry. */
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { findProgram, runCommand } from '../cluster/command.ts'
import { cacheDirectory } from '../cluster/directories.ts'
import { buildDebianImage } from '../cluster/images/build.ts'
import { findNodePrograms } from '../cluster/node/programs.ts'
import { toStandardError } from '../cluster/progress.ts'

const source = fileURLToPath(new URL('../..', import.meta.url))
const bases = { debian: 'firebreak.test/debian:base', node: 'firebreak.test/node:base' }

export interface ImageConfiguration {
  readonly User: string
  readonly Env: readonly string[]
  readonly Entrypoint: readonly string[]
  readonly Cmd: readonly string[]
}

/** With a store of its own, which ends with it. */
export class ImageBuilder implements AsyncDisposable {
  readonly #directory: string
  readonly #environment: Readonly<Record<string, string>>

  private constructor(directory: string, environment: Readonly<Record<string, string>>) {
    this.#directory = directory
    this.#environment = environment
  }

  static async start(): Promise<ImageBuilder> {
    const { environment } = await findNodePrograms(toStandardError)
    mkdirSync(cacheDirectory(), { recursive: true })
    const directory = mkdtempSync(join(cacheDirectory(), 'builder-'))
    const builder = new ImageBuilder(directory, environment)
    try {
      writeFileSync(join(directory, 'policy.json'), '{"default": [{"type": "insecureAcceptAnything"}]}')
      await builder.#base(bases.debian, (contents) => writeFileSync(join(contents, '.base'), ''))
      await builder.#base(bases.node, layNode)
      return builder
    } catch (error) {
      await builder[Symbol.asyncDispose]()
      throw error
    }
  }

  async build(target: string): Promise<void> {
    await this.#run([
      'build',
      '--layers',
      ...['--isolation', 'chroot', '--network', 'host', '--pull-never'],
      ...this.#policy,
      ...this.#settingsOfThisMachine(),
      ...['--build-arg', `NODE_IMAGE=${bases.node}`, '--build-arg', `BASE_IMAGE=${bases.debian}`],
      ...['--file', join(source, 'deploy/Dockerfile'), '--target', target, '--tag', nameOf(target)],
      source,
    ])
  }

  /** What its containers run by default, and as whom. */
  async settingsOf(target: string): Promise<ImageConfiguration> {
    const described = await this.#run(['inspect', '--type', 'image', nameOf(target)])
    return (JSON.parse(described) as { OCIv1: { config: ImageConfiguration } }).OCIv1.config
  }

  /** What a command says in a container of the image, run as its user. */
  async inImage(target: string, command: readonly string[]): Promise<string> {
    const container = (await this.#run(['from', '--pull-never', ...this.#policy, nameOf(target)])).trim()
    try {
      return await this.#run(['run', '--isolation', 'chroot', container, '--', ...command])
    } finally {
      await this.#run(['rm', container])
    }
  }

  async #run(args: readonly string[]): Promise<string> {
    const [command = '', ...rest] = args
    const store = ['--root', join(this.#directory, 'store'), '--runroot', join(this.#directory, 'run')]
    return await runCommand('buildah', [...store, '--storage-driver', 'overlay', command, ...rest], {
      environment: this.#environment,
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // its layers are mounts until they are removed
    await this.#run(['rmi', '--all', '--force']).catch(() => {})
    rmSync(this.#directory, { recursive: true, force: true })
  }

  get #policy(): readonly string[] {
    return ['--signature-policy', join(this.#directory, 'policy.json')]
  }

  async #base(name: string, lay: (contents: string) => void): Promise<void> {
    const contents = join(this.#directory, 'contents')
    const archive = join(this.#directory, 'base.image')
    mkdirSync(contents)
    lay(contents)
    await buildDebianImage(archive, { name, contents, packages: [], complete: true })
    const id = (await this.#run(['pull', '--quiet', ...this.#policy, `oci-archive:${archive}`])).trim()
    await this.#run(['tag', id, name])
    for (const path of [contents, archive]) rmSync(path, { recursive: true })
  }

  /** How this machine gets at packages: mounted while the image is built, and no part of it. */
  #settingsOfThisMachine(): readonly string[] {
    const own = join(homedir(), '.npmrc')
    const settings = [existsSync(own) ? readFileSync(own, 'utf8') : '']
    const mounts = ['/etc/apt/apt.conf.d', '/etc/apt/sources.list.d'].map((path) => [path, path])
    const authorities = process.env.NODE_EXTRA_CA_CERTS
    if (authorities !== undefined) {
      mounts.push([authorities, '/run/authorities.pem'])
      settings.push('cafile=/run/authorities.pem')
    }
    const npmrc = join(this.#directory, 'npmrc')
    writeFileSync(npmrc, settings.join('\n'), { mode: 0o600 })
    mounts.push([npmrc, '/root/.npmrc'])
    return mounts.flatMap(([from, to]) => ['--volume', `${from}:${to}:ro`])
  }
}

function nameOf(target: string): string {
  return `firebreak.test/${target}:built`
}

/** Node and npm, where the public image has them. */
function layNode(contents: string): void {
  const npm = findProgram('npm')
  if (npm === undefined) throw new Error('npm is not on PATH')
  const local = join(contents, 'usr/local')
  mkdirSync(join(local, 'bin'), { recursive: true })
  cpSync(process.execPath, join(local, 'bin/node'))
  cpSync(dirname(dirname(realpathSync(npm))), join(local, 'lib/node_modules/npm'), {
    recursive: true,
    dereference: true,
  })
  symlinkSync('../lib/node_modules/npm/bin/npm-cli.js', join(local, 'bin/npm'))
}
