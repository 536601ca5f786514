/** Requests to the local API of the sidecar. */
import { readFileSync } from 'node:fs'
import { type IncomingMessage, request } from 'node:http'
import { join } from 'node:path'
import { UsageError } from '../command.ts'

/** The options that say where the API is, and who asks. */
export const apiOptions = {
  api: { type: 'string' },
  config: { type: 'string' },
  state: { type: 'string' },
  'token-file': { type: 'string' },
} as const

export const apiHelp = `  --api WHERE       the sidecar's local API: http://127.0.0.1:4780, or the path of its socket (default: the variable
                    FIREBREAK_API, or api.sock where --config or --state say, or http://127.0.0.1:4780)
  --config DIR, --state DIR
                    as the runner was started with
  --token-file FILE what proves the parent: its token, or that of the delegation to it (default: the variable
                    FIREBREAK_TOKEN; with neither, being on this host has to be enough)`

export interface ApiValues {
  readonly api?: string
  readonly config?: string
  readonly state?: string
  readonly 'token-file'?: string
}

const timeout = 15_000

/** @returns the body of the answer. @throws Error with the sidecar's own words when it refuses. */
export async function ask(
  values: ApiValues,
  method: 'GET' | 'POST' | 'DELETE',
  path: string,
  body?: unknown,
): Promise<unknown> {
  const token = tokenOf(values)
  const text = body === undefined ? undefined : JSON.stringify(body)
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  const outgoing = request(
    {
      ...placeOf(values),
      method,
      path,
      timeout,
      agent: false,
      headers: {
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...(text !== undefined && {
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(text),
        }),
      },
    },
    resolve,
  )
  outgoing.on('timeout', () => outgoing.destroy(new Error('it does not answer')))
  outgoing.on('error', reject)
  outgoing.end(text)
  const response = await promise.catch((error: unknown) => {
    const reason = error instanceof Error ? error.message : String(error)
    throw new Error(
      `the sidecar's local API can't be reached: ${reason}. Is it running, with an AgentIdentity that may delegate?`,
    )
  })
  return answerOf(response, await textOf(response))
}

function answerOf({ statusCode = 500 }: IncomingMessage, text: string): unknown {
  const answer: unknown = text === '' ? undefined : JSON.parse(text)
  if (statusCode < 400) return answer
  const { error } = answer as { error: { message: string; hint?: string; reference?: string } }
  const more = [error.hint, error.reference === undefined ? undefined : `Reference ${error.reference}.`]
  throw new Error(
    [error.message, ...more.filter((part) => part !== undefined)].join('. ').replaceAll('..', '.'),
  )
}

async function textOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

function placeOf({
  api = process.env.FIREBREAK_API,
  config,
  state,
}: ApiValues):
  | { readonly socketPath: string; readonly host: string }
  | { readonly host: string; readonly port: number } {
  const directory = state ?? (config === undefined ? undefined : join(config, 'approvals'))
  const where = api ?? (directory === undefined ? 'http://127.0.0.1:4780' : join(directory, 'api.sock'))
  if (!where.startsWith('http:')) return { socketPath: where, host: 'localhost' }
  if (!URL.canParse(where)) throw new UsageError(`--api takes http://HOST:PORT or a path, not ${where}`)
  const { hostname, port } = new URL(where)
  // a token must not leave this host in the clear
  if (!['localhost', '127.0.0.1', '[::1]'].includes(hostname))
    throw new UsageError(`the local API is on this host; ${hostname} is not`)
  return { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || 80) }
}

function tokenOf({ 'token-file': file }: ApiValues): string | undefined {
  return (file === undefined ? process.env.FIREBREAK_TOKEN : readFileSync(file, 'utf8'))?.trim() || undefined
}
