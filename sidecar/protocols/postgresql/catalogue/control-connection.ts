/** A connection of the gateway's own, to read the catalogue or to make accounts. Agents never get near it. */
import type { Credential, Result, Target } from '../../../session.ts'
import { query } from '../codec/encode.ts'
import { FrameReader } from '../codec/frame-reader.ts'
import { decodeDataRow, decodeErrorFields } from '../codec/server-messages.ts'
import { fromServer, serverRules } from '../codec/types.ts'
import { type ConnectFailure, connectServer, type ServerConnection } from '../handshake/server.ts'
import { readable } from '../handshake/socket-reader.ts'

const answerTimeout = 30_000

export class ControlConnection implements Disposable {
  readonly #connection: ServerConnection
  readonly #reader = new FrameReader(serverRules)

  static async open(
    target: Target,
    credential: Credential,
    database: string,
    signal: AbortSignal,
    access: 'readOnly' | 'readWrite' = 'readOnly',
  ): Promise<Result<ControlConnection, ConnectFailure>> {
    const parameters = new Map([
      ['database', database],
      ['application_name', 'firebreak'],
      ['search_path', 'pg_catalog'],
      ['client_encoding', 'UTF8'],
      ['default_transaction_read_only', access === 'readOnly' ? 'on' : 'off'],
    ])
    const connected = await connectServer(target, credential, parameters, signal)
    return connected.ok ? { ok: true, value: new ControlConnection(connected.value) } : connected
  }

  private constructor(connection: ServerConnection) {
    this.#connection = connection
    connection.socket.on('error', () => {})
  }

  get closed(): boolean {
    return this.#connection.socket.destroyed
  }

  /** Runs one statement and returns its only value. One at a time. @throws Error when it fails or the server is gone. */
  async value(text: string): Promise<string> {
    const { socket } = this.#connection
    if (socket.destroyed || socket.readableEnded) throw new Error('the server closed the connection')
    socket.write(query(text))
    let value = ''
    let problem: string | undefined
    for (;;) {
      const result = this.#reader.next()
      if (result === 'more') {
        const chunk: Buffer | null = socket.read()
        if (chunk) this.#reader.push(chunk)
        else await readable(socket, AbortSignal.timeout(answerTimeout))
        continue
      }
      if (result === 'error') throw new Error(this.#reader.problem)
      const { buffer, type, start, end } = this.#reader
      if (type === fromServer.dataRow) value = decodeDataRow(buffer, start, end)?.[0]?.toString('utf8') ?? ''
      if (type === fromServer.error)
        problem = decodeErrorFields(buffer, start, end)?.get('M') ?? 'the server refused'
      if (type === fromServer.ready) break
    }
    if (problem !== undefined) throw new Error(problem)
    return value
  }

  [Symbol.dispose](): void {
    this.#connection.socket.destroy()
  }
}
