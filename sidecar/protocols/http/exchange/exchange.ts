/** A request as it comes: who sends it, and then its course. */
import { newReference } from '../../../audit/reference.ts'
import type { GuardedSession, Result } from '../../../session.ts'
import { type MalformedRequest, readHead } from '../head/head.ts'
import type { HeaderFields, RequestHead } from '../request.ts'
import { answer, type ClientRequest, type ClientResponse, type Connection } from './client.ts'
import { Course } from './course.ts'
import { inGrpc, isGrpc } from './grpc.ts'
import { identify } from './identification.ts'
import { refusedSession } from './problems.ts'
import { malformed, refuseMalformed } from './refusing.ts'
import type { Tunnel } from './tunnel.ts'

export interface Incoming {
  readonly request: ClientRequest
  readonly response: ClientResponse
  /** The client waits to be told that it may send the body. */
  readonly expectsContinue: boolean
  /** HTTP/2: a body follows, of whatever length. */
  readonly streams: boolean
  /** The client wants to leave HTTP. */
  readonly tunnel?: Tunnel
}

/** Answers one request. Rejections are bugs. */
export async function exchange(incoming: Incoming, plain: Connection): Promise<void> {
  const receivedAt = performance.now()
  const { request, response } = incoming
  const head = asUnderstood(readHead(request), incoming, plain)
  const headers = head.ok ? head.value.headers : head.error.headers
  const connection = request.httpVersion === '2.0' && isGrpc(headers ?? []) ? inGrpc(plain) : plain
  const session = headers && (await sessionFor(headers, response, connection))
  if (headers && !session) return
  if (!session) {
    answer(response, malformed(head.ok ? notRead : head.error, newReference()), connection.kind.say)
    return
  }
  connection.sessions.began(session)
  try {
    await session.ready()
    if (!head.ok) refuseMalformed(incoming, session, head.error, receivedAt, connection.kind)
    else await new Course(incoming, connection, session, head.value, receivedAt).run()
  } finally {
    connection.sessions.ended(session)
  }
}

/** What leaves HTTP is asked for in one way, and that is what is decided on. */
function asUnderstood(
  head: Result<RequestHead, MalformedRequest>,
  { tunnel }: Incoming,
  { kind: { streams } }: Connection,
): Result<RequestHead, MalformedRequest> {
  if (!head.ok || !tunnel) return head
  if (tunnel.isEarly) return { ok: false, error: { ...early, headers: head.value.headers } }
  if (!streams) return head
  const understood = streams.understood(head.value, tunnel.protocol)
  return understood.ok
    ? understood
    : { ok: false, error: { ...understood.error, headers: head.value.headers } }
}

const early: MalformedRequest = {
  status: 400,
  message: 'who asks to leave HTTP says nothing more until that is answered',
}
const notRead: MalformedRequest = { status: 400, message: 'the head can not be read' }

/** @returns undefined where the client has been told why not. */
async function sessionFor(
  headers: HeaderFields,
  response: ClientResponse,
  { gateway, sessions, confidential, kind: { say } }: Connection,
): Promise<GuardedSession | undefined> {
  const refuse = (detail: string): undefined => {
    answer(response, { kind: 'unauthenticated', status: 401, detail, reference: newReference() }, say)
  }
  const identified = identify(headers, (role) => gateway.asksForToken(role))
  if (!identified.ok) return refuse(identified.error)
  if (identified.value.token !== undefined && !confidential)
    return refuse('a token is accepted only over an encrypted connection or from this host')
  const opened = await sessions.of(identified.value)
  if (!('ok' in opened)) return opened
  if (opened.ok) return opened.value
  answer(response, refusedSession(opened.error), say)
  return undefined
}
