/** What is said of a call of gRPC in its own words: https://grpc.github.io/grpc/core/md_doc__p_r_o_t_o_c_o_l-_h_t_t_p2.html */
import { headerOf } from '../head/head.ts'
import type { HeaderFields } from '../request.ts'
import type { Connection } from './client.ts'
import type { Problem, Said } from './problems.ts'
import type { CommandRun } from './run.ts'

/** Whether a message is one of gRPC, as its Content-Type says; gRPC-Web is not. */
export function isGrpc(headers: HeaderFields): boolean {
  const [type = ''] = (headerOf(headers, 'content-type') ?? '').toLowerCase().split(';', 1)
  return /^application\/grpc(\+.*)?$/.test(type.trim())
}

/** Whether an answer is nothing but a status, which stands in its head then. */
export function isStatusAlone(headers: HeaderFields): boolean {
  return headers.some(([name]) => name === 'grpc-status')
}

/** The same connection to a client that asks in gRPC, and knows nothing else. */
export function inGrpc(connection: Connection): Connection {
  return { ...connection, kind: { ...connection.kind, say: sayStatus, sayAtEnd: statusOf } }
}

function sayStatus(problem: Problem): Said {
  return { status: 200, contentType: 'application/grpc', headers: statusOf(problem), body: Buffer.alloc(0) }
}

/** https://grpc.github.io/grpc/core/md_doc_statuscodes.html */
const codes: Readonly<Record<Problem['kind'], number>> = {
  malformed: 3,
  'unknown-session': 5,
  unauthenticated: 16,
  denied: 7,
  'not-approved': 7,
  limit: 8,
  conflict: 10,
  'too-large': 8,
  // a client would try again what is unavailable
  withheld: 7,
  unavailable: 14,
  'too-slow': 4,
}

function statusOf({
  kind,
  detail,
  hint,
  reference,
}: Problem): Record<'grpc-status' | 'grpc-message', string> {
  const message = [detail, ...(hint === undefined ? [] : [hint]), `reference ${reference}`].join('; ')
  return { 'grpc-status': String(codes[kind]), 'grpc-message': percentEncoded(message) }
}

function percentEncoded(message: string): string {
  return [...Buffer.from(message)]
    .map((byte) =>
      byte >= 0x20 && byte <= 0x7e && byte !== 0x25
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`,
    )
    .join('')
}

/** @returns why a call does not even go out while something may have to be masked: nobody could look into its answer. */
export function unmaskableCall(
  { session, reference }: CommandRun,
  headers: HeaderFields,
): Problem | undefined {
  const { masks, detectors } = session.terms
  if (!isGrpc(headers) || (!masks && detectors.length === 0)) return undefined
  const detail = 'messages of gRPC are not looked into, and something in the answer may have to be masked'
  return { kind: 'withheld', status: 403, detail, reference }
}
