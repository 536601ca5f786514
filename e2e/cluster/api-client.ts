/** Plain requests to the API server, for what the test cluster itself has to know. */
import type { IncomingMessage } from 'node:http'
import { request } from 'node:https'
import { text } from 'node:stream/consumers'
import type { KeyAndCertificate } from '../../operator/certificates/authority.ts'
import type { Server } from './kubeconfig.ts'

export interface ApiRequest {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly path: string
  readonly body?: unknown
  readonly signal?: AbortSignal
}

export interface ApiAnswer {
  readonly status: number
  readonly body: string
}

export class ApiClient {
  readonly #server: Server
  readonly #certificate: KeyAndCertificate

  constructor(server: Server, certificate: KeyAndCertificate) {
    this.#server = server
    this.#certificate = certificate
  }

  async request(what: ApiRequest): Promise<ApiAnswer> {
    const answer = await this.#send(what)
    return { status: answer.statusCode ?? 0, body: await text(answer) }
  }

  /** Calls back once for each event of a watch until the server or the signal ends it. */
  async watch(path: string, onEvent: (event: unknown) => void, signal: AbortSignal): Promise<void> {
    const answer = await this.#send({ path, signal })
    if (answer.statusCode !== 200) throw new Error(`${path} was answered with ${answer.statusCode}`)
    let rest = ''
    for await (const chunk of answer.setEncoding('utf8')) {
      const lines = (rest + chunk).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) onEvent(JSON.parse(line))
    }
  }

  #send({ method = 'GET', path, body, signal }: ApiRequest): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const sent = request(
        new URL(path, this.#server.endpoint),
        {
          method,
          ca: this.#server.ca,
          cert: this.#certificate.certificate,
          key: this.#certificate.key,
          headers: { accept: 'application/json', 'content-type': 'application/json' },
          agent: false,
          ...(signal === undefined ? {} : { signal }),
        },
        resolve,
      )
      sent.once('error', reject)
      sent.end(body === undefined ? undefined : JSON.stringify(body))
    })
  }
}
