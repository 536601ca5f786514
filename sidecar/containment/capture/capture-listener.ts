/** Connections that Envoy captured: each is guarded by the protocol of the resource that it was meant for, or refused. */
import { chmod, rm } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import type { ProtectedResource } from '@firebreak/crds'
import { Clients } from '../../listen/clients.ts'
import type { Result } from '../../session.ts'
import type { Refusals } from '../refusals.ts'
import type { Destinations } from './destinations.ts'
import { type Endpoint, readProxyHeader } from './proxy-protocol.ts'

export interface CaptureOptions {
  /** Of the Unix socket. Only Envoy and the enforcer may get at its directory. */
  readonly path: string
  readonly destinations: Destinations
  readonly refusals: Refusals
  /** Guards a connection to its end; undefined where the resource's protocol is not spoken. */
  readonly guardFor: (resource: ProtectedResource) => ((client: Socket) => Promise<void>) | undefined
}

/** Envoy sends its header at once. In milliseconds. */
const headerWithin = 3_000
const maximumConnections = 1_000

export class CaptureListener {
  readonly #options: CaptureOptions
  readonly #server: Server
  readonly #clients = new Clients()

  static async open(options: CaptureOptions): Promise<CaptureListener> {
    const listener = new CaptureListener(options)
    const { path } = options
    // of a process that was killed
    await rm(path, { force: true })
    await new Promise<void>((resolve, reject) => {
      listener.#server.once('error', reject).listen(path, resolve)
    })
    // Envoy runs as another user, and no other gets into the directory
    await chmod(path, 0o666)
    return listener
  }

  private constructor(options: CaptureOptions) {
    this.#options = options
    this.#server = createServer((client) => {
      this.#clients.add(client)
      this.#clients.serve(this.#serve(client))
    })
    this.#server.maxConnections = maximumConnections
  }

  /** Lets no more connections in, and those that are there end. */
  close(): Promise<void> {
    return this.#clients.close(this.#server)
  }

  async #serve(client: Socket): Promise<void> {
    const destination = await destinationOf(client)
    if (!destination.ok) {
      this.#options.refusals.add({ kind: 'connection', reason: destination.error })
      client.destroy()
      return
    }
    if (destination.value === undefined) {
      client.destroy()
      return
    }
    const guard = this.#guardFor(destination.value)
    if (guard.ok) {
      await guard.value(client)
      return
    }
    this.#options.refusals.add({
      kind: 'connection',
      destination: inOneWord(destination.value),
      reason: guard.error,
    })
    client.destroy()
  }

  #guardFor(endpoint: Endpoint): Result<(client: Socket) => Promise<void>, string> {
    const found = this.#options.destinations.find(endpoint)
    if (found.kind === 'refused') return { ok: false, error: found.reason }
    const guard = this.#options.guardFor(found.resource)
    if (guard) return { ok: true, value: guard }
    const { metadata, spec } = found.resource
    return { ok: false, error: `it is protected as ${metadata.name}, and ${spec.type} is not spoken here` }
  }
}

/** @returns where a connection was meant to go; undefined for one of Envoy's own. What follows the header stays unread. */
function destinationOf(client: Socket): Promise<Result<Endpoint | undefined, string>> {
  return new Promise((resolve) => {
    let bytes: Buffer = Buffer.alloc(0)
    const timer = setTimeout(
      () => end({ ok: false, error: 'Envoy never said where it was meant to go' }),
      headerWithin,
    )
    const end = (result: Result<Endpoint | undefined, string>): void => {
      clearTimeout(timer)
      client.off('data', onData).off('close', onClose)
      client.pause()
      resolve(result)
    }
    const onClose = (): void => end({ ok: true, value: undefined })
    const onData = (chunk: Buffer): void => {
      bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk])
      const header = readProxyHeader(bytes)
      if (header.kind === 'incomplete') return
      if (header.kind === 'invalid') {
        end({ ok: false, error: `the header of the PROXY protocol is not valid: ${header.reason}` })
        return
      }
      end({ ok: true, value: header.kind === 'local' ? undefined : header.destination })
      if (bytes.length > header.length) client.unshift(bytes.subarray(header.length))
    }
    client.on('data', onData).on('close', onClose)
  })
}

function inOneWord({ address, port }: Endpoint): string {
  return `${address.includes(':') ? `[${address}]` : address}:${port}`
}
