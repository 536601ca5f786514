/**
 * Query and FunctionCall: messages that are whole by themselves and are answered up to a ReadyForQuery.
 * https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SIMPLE-QUERY
 */
import { decodeQuery } from '../codec/client-messages.ts'
import * as encode from '../codec/encode.ts'
import type { Refused } from './admission.ts'
import type { ClientVerdict } from './client-side.ts'
import { functionCall } from './function-call.ts'
import { heldFunctionCall } from './held.ts'
import type { NameChange } from './prepared.ts'
import { placeholder } from './refusals.ts'
import type { Session } from './session.ts'

const unnamedPortalCloses: NameChange = { of: 'portal', name: '' }

export class SimpleQuery {
  readonly #session: Session

  constructor(session: Session) {
    this.#session = session
  }

  /** All commands of a Query are decided before its first byte goes out. */
  query(): ClientVerdict {
    const session = this.#session
    const { admission } = session
    const { buffer, start, end } = session.toServer.reader
    const text = decodeQuery(buffer, start, end)
    if (!text) return session.malformed()
    const { statements, byForm } = admission.analyse(text)
    const decisions = statements.map((statement) => admission.decide(statement))
    const allowed = decisions.every((decision) => decision.effect === 'allow')
    const again = allowed ? undefined : admission.mayBeNew(statements, text)
    if (again) return again
    const held = allowed
      ? undefined
      : session.holding.before(statements, decisions, () => ({
          statement: Buffer.from(text),
          parameters: [],
          exactText: byForm ? text.toString('utf8') : undefined,
        }))
    if (held) return held
    session.groupOpen = false
    const exactText = byForm ? text.toString('utf8') : undefined
    const runs = statements.map((statement, index) =>
      admission.run(statement, decisions[index] ?? admission.decide(statement), exactText, undefined, index),
    )
    const refused = admission.refuse(runs)
    if (refused) return this.#replace(refused)
    const [first] = runs
    if (first && session.prepared.portal('')) first.changes = [unnamedPortalCloses]
    let hasEffects = false
    for (const run of runs) hasEffects = admission.predict(run) || hasEffects
    session.expect({ kind: 'query', runs, hasEffects })
    return 'forward'
  }

  functionCall(): ClientVerdict {
    const session = this.#session
    const { admission } = session
    const { buffer, start, end } = session.toServer.reader
    const analysis = functionCall(buffer, start, end, session.state)
    if (!analysis) return session.malformed()
    const decision = admission.decide(analysis)
    const held = session.holding.before([analysis], [decision], () =>
      heldFunctionCall(analysis.command.text, buffer.subarray(start, end)),
    )
    if (held) return held
    session.groupOpen = false
    const run = admission.run(analysis, decision, undefined)
    const refused = admission.refuse([run])
    if (refused) return this.#replace(refused)
    session.state.predict(analysis.effects)
    session.expect({ kind: 'function', runs: [run], hasEffects: true })
    return 'forward'
  }

  #replace({ message, reference }: Refused): ClientVerdict {
    this.#session.toServer.send(encode.query(placeholder(reference)))
    this.#session.expect({ kind: 'query', refusal: message })
    return 'done'
  }
}
