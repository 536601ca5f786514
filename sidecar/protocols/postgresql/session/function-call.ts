/** The FunctionCall message: a function by its OID, without any SQL. */
import { opaqueStatement } from '../analysis/analyse.ts'
import type { StatementAnalysis } from '../analysis/types.ts'
import { Cursor } from '../codec/cursor.ts'
import type { SessionState } from './state.ts'

/** What it does can't be told from its OID and arguments, so it is opaque whatever the function. */
export function functionCall(
  buffer: Buffer,
  start: number,
  end: number,
  state: SessionState,
): StatementAnalysis | undefined {
  const cursor = new Cursor(buffer, start + 5, end)
  const oid = cursor.int32() >>> 0
  if (cursor.failed) return undefined
  const info = state.catalogue.functionByOid(oid)
  const name = info ? `${info.schema}.${info.name}` : `with OID ${oid}`
  const opaque = opaqueStatement(
    state,
    `FunctionCall ${name}`,
    `the FunctionCall message runs the function ${name} without SQL`,
  )
  const touch = {
    action: 'sql:functionCall',
    object: { kind: 'function', path: info ? [info.schema, info.name] : [String(oid)] },
    origin: 'direct' as const,
  }
  return { ...opaque, command: { ...opaque.command, touches: [touch] } }
}
