/**
 * Parse, Bind, Describe, Execute, Close and Sync: pipelines of messages that are answered one by one, and of which
 * nothing runs any more after an error up to the Sync.
 * https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-EXT-QUERY
 */
import type { StatementAnalysis } from '../analysis/types.ts'
import { decodeBind, decodeExecute, decodeParse, decodeTarget } from '../codec/client-messages.ts'
import * as encode from '../codec/encode.ts'
import { isRefused } from './admission.ts'
import type { ClientVerdict } from './client-side.ts'
import { heldPortal } from './held.ts'
import { parameterTexts } from './parameters.ts'
import { Portal } from './portal.ts'
import { noSuchPortal, placeholder } from './refusals.ts'
import { CommandRun } from './run.ts'
import { ownPrefix, type Session } from './session.ts'

export class ExtendedQuery {
  readonly #session: Session

  constructor(session: Session) {
    this.#session = session
  }

  /** A statement that may not run now is refused already here, where the client can tell which one it is. */
  parse(): ClientVerdict {
    const session = this.#session
    const { admission } = session
    const { buffer, start, end } = session.toServer.reader
    const parse = decodeParse(buffer, start, end)
    if (!parse) return session.malformed()
    const { name } = parse
    if (isReserved(name)) return this.#reserved()
    const analysed = admission.analyse(parse.text)
    const refused = analysed.statements.find((statement) => isRefused(statement, admission.decide(statement)))
    const again = refused && admission.mayBeNew(analysed.statements, parse.text)
    if (again) return again
    session.groupOpen = true
    if (refused) {
      const text = analysed.byForm ? parse.text.toString('utf8') : undefined
      const run = admission.run(refused, admission.decide(refused), text)
      const refusal = admission.refuse([run])?.message
      session.toServer.send(encode.parse(name, placeholder(run.reference)))
      session.expect({ kind: 'parse', ...(refusal && { refusal }) })
      return 'done'
    }
    const { parameterTypes } = parse
    const text = Buffer.from(parse.text)
    const value = { text, parameterTypes, bySql: false, analysed, stateKey: session.state.key }
    session.expect({ kind: 'parse', change: { of: 'statement', name, value } })
    return 'forward'
  }

  /** The portal is of what the statement does now; it is decided when it is executed. */
  bind(): ClientVerdict {
    const session = this.#session
    const { buffer, start, end } = session.toServer.reader
    const bind = decodeBind(buffer, start, end)
    if (!bind) return session.malformed()
    const { portal: name, statement } = bind
    if (isReserved(name) || isReserved(statement)) return this.#reserved()
    session.groupOpen = true
    const analysis = session.prepared.analysis(statement)
    const prepared = session.prepared.get(statement)
    if (!prepared) {
      // the server doesn't know it either; if it did, nothing could be executed
      session.expect({ kind: 'bind', change: { of: 'portal', name } })
      return 'forward'
    }
    const text = prepared.analysed.byForm ? prepared.text.toString('utf8') : undefined
    const value = new Portal(true, analysis, text, parameterTexts(bind))
    const held = analysis && session.admission.decide(analysis).effect === 'hold'
    if (held) value.held = heldPortal(prepared, bind, text)
    session.expect({ kind: 'bind', change: { of: 'portal', name, value } })
    return 'forward'
  }

  describe(): ClientVerdict {
    const session = this.#session
    const { buffer, start, end } = session.toServer.reader
    const target = decodeTarget(buffer, start, end)
    if (!target) return session.malformed()
    const { kind, name } = target
    if (isReserved(name)) return this.#reserved()
    session.groupOpen = true
    const describes = kind === 'portal' ? session.prepared.portal(name) : session.prepared.get(name)
    session.expect({ kind: 'describe', ...(describes && { describes }) })
    return 'forward'
  }

  execute(): ClientVerdict {
    const session = this.#session
    const { buffer, start, end } = session.toServer.reader
    const execute = decodeExecute(buffer, start, end)
    if (!execute) return session.malformed()
    session.groupOpen = true
    const portal = session.prepared.portal(execute.portal)
    if (!portal) {
      // the server doesn't know it either, and if it did, it would run what nobody has decided
      return this.#instead(noSuchPortal(execute.portal), session.guarded.reference())
    }
    if (!portal.analysis) {
      session.expect({ kind: 'execute' })
      return 'forward'
    }
    const run =
      portal.run && !portal.run.finished ? this.#goOn(portal.run) : this.#start(portal, portal.analysis)
    if (!(run instanceof CommandRun)) return run
    portal.run = run
    if (this.#needsColumns(run) && !portal.columns) {
      session.toServer.send(encode.describe('portal', execute.portal))
      session.expect({ kind: 'describe', hidden: true, describes: portal })
    }
    session.expect({ kind: 'execute', runs: [run], portal, hasEffects: session.admission.predict(run) })
    return 'forward'
  }

  /** @returns what has become of the message, if it does not run now. */
  #start(portal: Portal, analysis: StatementAnalysis): CommandRun | ClientVerdict {
    const { admission, holding } = this.#session
    const { text, parameters, held } = portal
    const decision = admission.decide(analysis)
    const wait =
      decision.effect === 'hold' &&
      holding.before([analysis], [decision], () => held && { ...held, parameterTexts: parameters })
    if (wait) return wait
    const run = admission.run(analysis, decision, text, parameters)
    const refused = admission.refuse([run])
    return refused ? this.#instead(refused.message, refused.reference) : run
  }

  #goOn(run: CommandRun): CommandRun {
    run.suspended = false
    this.#session.admission.limitTime(run)
    return run
  }

  /** The server is told to execute what it is certain not to have, so that it fails in its place. */
  #instead(refusal: Buffer, reference: string): ClientVerdict {
    const session = this.#session
    session.toServer.send(encode.execute(placeholder(reference)))
    session.expect({ kind: 'execute', refusal })
    return 'done'
  }

  /** Values are masked by their type and format, and clients need not ask for them. */
  #needsColumns(run: CommandRun): boolean {
    const detects = this.#session.guarded.terms.detectors.length > 0
    return run.analysis.returnsRows && !run.analysis.copy && (run.masks || detects)
  }

  close(): ClientVerdict {
    const session = this.#session
    const { buffer, start, end } = session.toServer.reader
    const target = decodeTarget(buffer, start, end)
    if (!target) return session.malformed()
    const { kind, name } = target
    if (isReserved(name)) return this.#reserved()
    session.groupOpen = true
    session.expect({ kind: 'close', change: { of: kind, name } })
    return 'forward'
  }

  sync(): ClientVerdict {
    const session = this.#session
    session.groupOpen = false
    session.discarding = false
    session.expect({ kind: 'sync' })
    return 'forward'
  }

  #reserved(): ClientVerdict {
    return this.#session.fail('42501', `names that begin with ${ownPrefix} are reserved`)
  }
}

function isReserved(name: string): boolean {
  return name.startsWith(ownPrefix)
}
