/** A real S3-compatible object store for tests: Versity's gateway over a directory. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { PutBucketPolicyCommand, S3Client } from '@aws-sdk/client-s3'
import { accepts } from './collector.ts'
import { compileOnce } from './go-program.ts'
import { freePort } from './postgres.ts'

const sources = fileURLToPath(new URL('object-store', import.meta.url))

export class ObjectStore implements AsyncDisposable {
  readonly endpoint: string
  /** Whose certificate it shows, in PEM, where it speaks TLS. */
  readonly ca: string | undefined
  readonly region = 'us-east-1'
  /** What clients find in their environment. */
  readonly credentials = {
    AWS_ACCESS_KEY_ID: 'firebreak-test',
    AWS_SECRET_ACCESS_KEY: 'firebreak-test-secret',
  } as const
  /** Of somebody who may put objects into the bucket, and do nothing else. */
  readonly writer = { accessKeyId: 'firebreak-writer', secretAccessKey: 'firebreak-writer-secret' } as const
  /** Made, and empty. */
  readonly bucket = 'recordings'
  readonly #directory: string
  readonly #host: string
  readonly #port: number
  readonly #program: string
  #child: ChildProcess | undefined

  /** @param host an address of this machine. @param tls of `localhost`, in PEM. */
  static async start(
    host = '127.0.0.1',
    tls?: { readonly certificate: string; readonly key: string },
  ): Promise<ObjectStore> {
    const program = await compileOnce({
      sources,
      main: 'github.com/versity/versitygw/cmd/versitygw',
      name: 'versitygw',
      what: 'an object store',
    })
    const directory = mkdtempSync(join(tmpdir(), 'firebreak-objects-'))
    const store = new ObjectStore(program, directory, host, await freePort(), tls?.certificate)
    mkdirSync(join(directory, 'data', store.bucket), { recursive: true })
    mkdirSync(join(directory, 'metadata'))
    mkdirSync(join(directory, 'users'))
    writeFileSync(join(directory, 'users', 'users.json'), JSON.stringify(accounts(store.writer)))
    if (tls) {
      writeFileSync(join(directory, 'certificate.pem'), tls.certificate)
      writeFileSync(join(directory, 'key.pem'), tls.key)
    }
    await store.resume()
    await store.#letWriterPut()
    return store
  }

  private constructor(
    program: string,
    directory: string,
    host: string,
    port: number,
    certificate: string | undefined,
  ) {
    this.#host = host
    this.#program = program
    this.#directory = directory
    this.#port = port
    this.ca = certificate
    this.endpoint = certificate === undefined ? `http://${host}:${port}` : `https://localhost:${port}`
  }

  /** Starts it, with what it had. */
  async resume(): Promise<void> {
    const { AWS_ACCESS_KEY_ID: access, AWS_SECRET_ACCESS_KEY: secret } = this.credentials
    const words = ['--port', `${this.#host}:${this.#port}`, '--access', access, '--secret', secret, '--quiet']
    if (this.ca !== undefined)
      words.push(
        '--cert',
        join(this.#directory, 'certificate.pem'),
        '--key',
        join(this.#directory, 'key.pem'),
      )
    const users = ['--iam-dir', join(this.#directory, 'users')]
    const where = ['posix', '--sidecar', join(this.#directory, 'metadata'), join(this.#directory, 'data')]
    const child = spawn(this.#program, [...words, ...users, ...where], {
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    this.#child = child
    let log = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => (log = (log + text).slice(-4_000)))
    for (let turn = 0; !(await accepts(this.#port, this.#host)); turn++) {
      if (turn > 2_400 || child.exitCode !== null) throw new Error(`the object store did not start: ${log}`)
      await delay(50)
    }
  }

  async #letWriterPut(): Promise<void> {
    const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = this.credentials
    const { endpoint, region, bucket } = this
    const client = new S3Client({
      endpoint,
      region,
      forcePathStyle: true,
      credentials: { accessKeyId, secretAccessKey },
      ...(this.ca !== undefined && { requestHandler: { httpsAgent: { ca: this.ca } } }),
    })
    const statement = {
      Effect: 'Allow',
      Principal: { AWS: [this.writer.accessKeyId] },
      Action: ['s3:PutObject'],
      Resource: [`arn:aws:s3:::${bucket}/*`],
    }
    const Policy = JSON.stringify({ Version: '2012-10-17', Statement: [statement] })
    await client.send(new PutBucketPolicyCommand({ Bucket: bucket, Policy }))
    client.destroy()
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

/** As the gateway keeps its users. */
function accounts({ accessKeyId, secretAccessKey }: ObjectStore['writer']): unknown {
  const account = { access: accessKeyId, secret: secretAccessKey, role: 'user', userID: 0, groupID: 0 }
  return { accessAccounts: { [accessKeyId]: account } }
}
