/** A real S3-compatible object store for tests: Versity's gateway over a directory. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { accepts } from './collector.ts'
import { compileOnce } from './go-program.ts'
import { freePort } from './postgres.ts'

const sources = fileURLToPath(new URL('object-store', import.meta.url))

export class ObjectStore implements AsyncDisposable {
  readonly endpoint: string
  readonly region = 'us-east-1'
  /** What clients find in their environment. */
  readonly credentials = {
    AWS_ACCESS_KEY_ID: 'firebreak-test',
    AWS_SECRET_ACCESS_KEY: 'firebreak-test-secret',
  } as const
  /** Made, and empty. */
  readonly bucket = 'recordings'
  readonly #directory: string
  readonly #port: number
  readonly #program: string
  #child: ChildProcess | undefined

  static async start(): Promise<ObjectStore> {
    const program = await compileOnce({
      sources,
      main: 'github.com/versity/versitygw/cmd/versitygw',
      name: 'versitygw',
      what: 'an object store',
    })
    const directory = mkdtempSync(join(tmpdir(), 'firebreak-objects-'))
    const store = new ObjectStore(program, directory, await freePort())
    mkdirSync(join(directory, 'data', store.bucket), { recursive: true })
    mkdirSync(join(directory, 'metadata'))
    await store.resume()
    return store
  }

  private constructor(program: string, directory: string, port: number) {
    this.#program = program
    this.#directory = directory
    this.#port = port
    this.endpoint = `http://127.0.0.1:${port}`
  }

  /** Starts it, with what it had. */
  async resume(): Promise<void> {
    const { AWS_ACCESS_KEY_ID: access, AWS_SECRET_ACCESS_KEY: secret } = this.credentials
    const words = ['--port', `127.0.0.1:${this.#port}`, '--access', access, '--secret', secret, '--quiet']
    const where = ['posix', '--sidecar', join(this.#directory, 'metadata'), join(this.#directory, 'data')]
    const child = spawn(this.#program, [...words, ...where], { stdio: ['ignore', 'ignore', 'pipe'] })
    this.#child = child
    let log = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => (log = (log + text).slice(-4_000)))
    for (let turn = 0; !(await accepts(this.#port)); turn++) {
      if (turn > 200 || child.exitCode !== null) throw new Error(`the object store did not start: ${log}`)
      await delay(50)
    }
  }

  /** Stops it, as if it had crashed. */
  async stop(): Promise<void> {
    const child = this.#child
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const exited = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGKILL')
    await exited
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
    rmSync(this.#directory, { recursive: true, force: true })
  }
}
