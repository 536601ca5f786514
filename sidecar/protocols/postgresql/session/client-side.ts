/** Messages from the client: decided, then passed on, replaced or dropped. */
import type { Decision } from '@firebreak/policy'
import type { Analysed } from '../analysis/analyser.ts'
import type { StatementAnalysis } from '../analysis/types.ts'
import {
  decodeBind,
  decodeExecute,
  decodeParse,
  decodeQuery,
  decodeTarget,
} from '../codec/client-messages.ts'
import * as encode from '../codec/encode.ts'
import { FrameReader } from '../codec/frame-reader.ts'
import { clientRules, fromClient } from '../codec/types.ts'
import { functionCall } from './function-call.ts'
import { parameterTexts } from './parameters.ts'
import { Portal } from './portal.ts'
import { type NameChange, nameChanges } from './prepared.ts'
import { commandTooLong, limitReached, noSuchPortal, placeholder, refusedCommand } from './refusals.ts'
import { CommandRun } from './run.ts'
import { ownPrefix, type Session } from './session.ts'

/**
 * What becomes of a frame: it goes on as it is, has been dealt with, is looked at again when a wait is over, or
 * the session is over.
 */
type Verdict = 'forward' | 'done' | 'wait' | 'end'

export class ClientSide {
  readonly #session: Session
  readonly #reader = new FrameReader(clientRules)
  /** Start of the frames that go on as they are; -1 when there are none. */
  #forwardFrom = -1
  #waiting = false
  /** A text named something unknown, and the catalogue has been read again for it. */
  #refreshedFor: Buffer | undefined

  constructor(session: Session) {
    this.#session = session
    this.#reader.streaming = true
  }

  receive(chunk: Buffer): void {
    this.#reader.push(chunk)
    this.#process()
  }

  /** Something that may have been waited for has happened. */
  resume(): void {
    const { client, server } = this.#session
    if (!this.#waiting && client.isPaused() && !server.socket.writableNeedDrain) this.#process()
  }

  #process(): void {
    const { client, server, guarded } = this.#session
    const reader = this.#reader
    if (this.#waiting || this.#session.closed) return
    server.socket.cork()
    let verdict: Verdict = 'done'
    for (;;) {
      const ready = guarded.ready()
      if (ready) {
        this.#flush(reader.end)
        this.#wait(ready)
        verdict = 'wait'
        break
      }
      const result = reader.next()
      if (result === 'more') break
      if (result === 'error') {
        this.#session.fail('08P01', reader.problem)
        verdict = 'end'
        break
      }
      verdict = result === 'piece' ? this.#copyPiece() : this.#frame()
      if (verdict === 'forward') {
        if (this.#forwardFrom < 0) this.#forwardFrom = reader.start
        continue
      }
      this.#flush()
      if (verdict === 'wait') reader.rewind()
      if (verdict !== 'done') break
    }
    if (verdict === 'forward' || verdict === 'done') this.#flush(reader.end)
    else this.#flush()
    server.socket.uncork()
    const busy = verdict === 'wait' || server.socket.writableNeedDrain
    if (busy) client.pause()
    else if (client.isPaused()) client.resume()
  }

  /** Sends the frames that go on as they are: those before the current one, or up to an end. */
  #flush(end = this.#reader.start): void {
    if (this.#forwardFrom < 0) return
    this.#session.server.socket.write(this.#reader.buffer.subarray(this.#forwardFrom, end))
    this.#forwardFrom = -1
  }

  #send(message: Buffer): void {
    this.#flush()
    this.#session.server.socket.write(message)
  }

  #wait(for_: Promise<unknown>): Verdict {
    this.#waiting = true
    void for_
      .catch(() => {})
      .then(() => {
        this.#waiting = false
        this.#process()
      })
    return 'wait'
  }

  #copyPiece(): Verdict {
    return this.#session.copyingIn ? 'forward' : 'done'
  }

  #frame(): Verdict {
    const session = this.#session
    const { type } = this.#reader
    if (type === fromClient.terminate) {
      this.#flush()
      session.end()
      return 'end'
    }
    if (type === fromClient.copyData || type === fromClient.copyDone || type === fromClient.copyFail) {
      // outside of COPY the server ignores them, and nothing is expected back
      if (!session.copyingIn) return 'done'
      if (type !== fromClient.copyData) session.copyingIn = false
      return 'forward'
    }
    if (session.copyingIn) {
      // during COPY the server ignores Flush and Sync, and fails on everything else
      if (type === fromClient.flush || type === fromClient.sync) return 'done'
      this.#send(encode.copyFail('COPY was ended by another message'))
      session.copyingIn = false
      return this.#again()
    }
    if (type === fromClient.sync) return this.#sync()
    if (session.discarding) return 'done'
    switch (type) {
      case fromClient.query:
        return this.#query()
      case fromClient.parse:
        return this.#parse()
      case fromClient.bind:
        return this.#bind()
      case fromClient.describe:
        return this.#describe()
      case fromClient.execute:
        return this.#execute()
      case fromClient.close:
        return this.#close()
      case fromClient.flush:
        return 'forward'
      case fromClient.functionCall:
        return this.#functionCall()
      default:
        return this.#malformed()
    }
  }

  #again(): Verdict {
    this.#reader.rewind()
    return 'done'
  }

  #malformed(): Verdict {
    this.#session.fail('08P01', `invalid ${String.fromCharCode(this.#reader.type)} message`)
    return 'end'
  }

  /**
   * A text may be analysed when the state is known: nothing that could change it is in flight from before this
   * pipeline, and no question is open. Inside a pipeline what was predicted holds, or the text will not run; so
   * whatever message begins one has to wait until all is known.
   */
  #unsettled(): Verdict | undefined {
    const session = this.#session
    if (session.groupOpen) return undefined
    const question = session.state.question()
    if (question === undefined && session.effectsInFlight === 0) return undefined
    if (session.operations.length > 0) {
      // asked again when everything is answered
      return 'wait'
    }
    return question === undefined ? undefined : this.#wait(session.settle())
  }

  #analyse(text: Buffer): Analysed {
    const { analyser, state } = this.#session
    const analysed = analyser.analyse(text, state, state.key)
    state.used()
    return analysed
  }

  #decide(analysis: StatementAnalysis): Decision {
    return this.#session.guarded.decide(analysis.command)
  }

  /** An unknown name may be new: the catalogue is read again, once per text. */
  #mayBeNew(statements: readonly StatementAnalysis[], text: Buffer): Verdict | undefined {
    const session = this.#session
    const unknown = statements.some(
      (statement) => statement.serverError?.code.startsWith('42') && statement.serverError.code !== '42601',
    )
    if (!unknown || this.#refreshedFor?.equals(text) || session.operations.length > 0 || session.groupOpen)
      return undefined
    this.#refreshedFor = Buffer.from(text)
    session.state.catalogueInDoubt()
    return this.#wait(session.settle())
  }

  #query(): Verdict {
    const session = this.#session
    const { buffer, start, end } = this.#reader
    const unsettled = this.#unsettled()
    if (unsettled) return unsettled
    const text = decodeQuery(buffer, start, end)
    if (!text) return this.#malformed()
    const analysed = this.#analyse(text)
    const { statements } = analysed
    const decisions = statements.map((statement) => this.#decide(statement))
    const allowed = decisions.every((decision) => decision.effect === 'allow')
    if (!allowed) {
      const again = this.#mayBeNew(statements, text)
      if (again) return again
    }
    session.groupOpen = false
    const runs = statements.map((statement, index) =>
      this.#run(statement, decisions[index], analysed.byForm ? text : undefined),
    )
    const refusal = this.#refuse(runs)
    if (refusal) {
      this.#send(encode.query(placeholder(refusal.reference)))
      session.expect({ kind: 'query', refusal: refusal.message })
      return 'done'
    }
    if (session.prepared.portal('') && runs[0]) runs[0].changes = [unnamedPortalCloses]
    let hasEffects = false
    for (const run of runs) hasEffects = this.#predict(run) || hasEffects
    session.expect({ kind: 'query', runs, hasEffects })
    return 'forward'
  }

  /** What follows is analysed as if the command had succeeded. @returns whether it has effects. */
  #predict(run: CommandRun): boolean {
    const { state, prepared } = this.#session
    const { effects, command } = run.analysis
    if (effects.length > 0) {
      run.changes = [...run.changes, ...nameChanges(effects, command.text)]
      state.predict(effects)
    }
    for (const change of run.changes) prepared.sent(change)
    return effects.length > 0
  }

  #run(
    analysis: StatementAnalysis,
    decision: Decision | undefined,
    text: Buffer | undefined,
    portal?: Portal,
  ): CommandRun {
    return new CommandRun(
      this.#session.guarded,
      this.#session.unfinished,
      analysis,
      decision ?? this.#decide(analysis),
      portal ? portal.text : text?.toString('utf8'),
      portal?.parameters,
    )
  }

  /** @returns what to say when not all of the commands may run; each then has its audit line. */
  #refuse(runs: readonly CommandRun[]): { message: Buffer; reference: string } | undefined {
    const { guarded } = this.#session
    const denied = runs.find((run) => run.decision.effect !== 'allow')
    if (denied) {
      const code = denied.analysis.serverError?.code ?? '42501'
      for (const run of runs)
        run.finish(
          run === denied
            ? { code, message: run.analysis.serverError?.message ?? run.decision.reason }
            : { code: '25P02', message: 'not run, because another command of the same message was refused' },
        )
      return {
        message: refusedCommand(denied.decision, denied.analysis, denied.reference),
        reference: denied.reference,
      }
    }
    for (const run of runs) {
      const limit = guarded.admit()
      if (!limit) continue
      for (const other of runs) other.finish({ code: '54000', message: limit.message })
      return { message: limitReached(limit, run.reference), reference: run.reference }
    }
    for (const run of runs) this.#limitTime(run)
    return undefined
  }

  #limitTime(run: CommandRun): void {
    const { commandSeconds: seconds } = this.#session.guarded.terms.limits
    if (seconds === undefined) return
    run.timer = setTimeout(() => {
      run.ended = commandTooLong(seconds, run.reference)
      run.error = { code: '57014', message: `ran longer than ${seconds} s` }
      this.#session.cancelRunning()
    }, seconds * 1_000)
    run.timer.unref()
  }

  #parse(): Verdict {
    const session = this.#session
    const { buffer, start, end } = this.#reader
    const unsettled = this.#unsettled()
    if (unsettled) return unsettled
    const parse = decodeParse(buffer, start, end)
    if (!parse) return this.#malformed()
    if (parse.name.startsWith(ownPrefix)) return this.#reserved()
    const analysed = this.#analyse(parse.text)
    const refused = analysed.statements.find((statement) => this.#decide(statement).effect !== 'allow')
    if (refused) {
      const again = this.#mayBeNew(analysed.statements, parse.text)
      if (again) return again
      const run = this.#run(refused, undefined, analysed.byForm ? parse.text : undefined)
      const refusal = this.#refuse([run])
      this.#send(encode.parse(parse.name, placeholder(run.reference)))
      session.groupOpen = true
      session.expect({ kind: 'parse', ...(refusal && { refusal: refusal.message }) })
      return 'done'
    }
    session.groupOpen = true
    const text = Buffer.from(parse.text)
    const value = { text, bySql: false, analysed, stateKey: session.state.key }
    session.expect({ kind: 'parse', change: { of: 'statement', name: parse.name, value } })
    return 'forward'
  }

  #reserved(): Verdict {
    this.#session.fail('42501', `names that begin with ${ownPrefix} are reserved`)
    return 'end'
  }

  #bind(): Verdict {
    const session = this.#session
    const { buffer, start, end } = this.#reader
    const unsettled = this.#unsettled()
    if (unsettled) return unsettled
    const bind = decodeBind(buffer, start, end)
    if (!bind) return this.#malformed()
    if (bind.portal.startsWith(ownPrefix) || bind.statement.startsWith(ownPrefix)) return this.#reserved()
    session.groupOpen = true
    const analysis = session.prepared.analysis(bind.statement)
    const prepared = session.prepared.get(bind.statement)
    const name = bind.portal
    if (!prepared) {
      // the server doesn't know it either; if it did, nothing could be executed
      session.expect({ kind: 'bind', change: { of: 'portal', name } })
      return 'forward'
    }
    const text = prepared.analysed.byForm ? prepared.text.toString('utf8') : undefined
    const value = new Portal(true, analysis, text, parameterTexts(bind))
    session.expect({ kind: 'bind', change: { of: 'portal', name, value } })
    return 'forward'
  }

  #describe(): Verdict {
    const session = this.#session
    const { buffer, start, end } = this.#reader
    const unsettled = this.#unsettled()
    if (unsettled) return unsettled
    const target = decodeTarget(buffer, start, end)
    if (!target) return this.#malformed()
    if (target.name.startsWith(ownPrefix)) return this.#reserved()
    session.groupOpen = true
    const described =
      target.kind === 'portal' ? session.prepared.portal(target.name) : session.prepared.get(target.name)
    session.expect({ kind: 'describe', ...(described && { describes: described }) })
    return 'forward'
  }

  #execute(): Verdict {
    const session = this.#session
    const { buffer, start, end } = this.#reader
    const unsettled = this.#unsettled()
    if (unsettled) return unsettled
    const execute = decodeExecute(buffer, start, end)
    if (!execute) return this.#malformed()
    session.groupOpen = true
    const portal = session.prepared.portal(execute.portal)
    if (!portal) {
      // the server doesn't know it either, and if it did, it would run what nobody has decided
      this.#send(encode.execute(placeholder(session.guarded.reference()).slice(0, 60)))
      session.expect({ kind: 'execute', refusal: noSuchPortal(execute.portal) })
      return 'done'
    }
    if (!portal.analysis) {
      session.expect({ kind: 'execute' })
      return 'forward'
    }
    let { run } = portal
    if (run && !run.finished) {
      run.suspended = false
      this.#limitTime(run)
    } else {
      run = this.#run(portal.analysis, undefined, undefined, portal)
      const refusal = this.#refuse([run])
      if (refusal) {
        this.#send(encode.execute(placeholder(refusal.reference).slice(0, 60)))
        session.expect({ kind: 'execute', refusal: refusal.message })
        return 'done'
      }
    }
    portal.run = run
    if (this.#needsColumns(run) && !portal.columns) {
      this.#send(encode.describe('portal', execute.portal))
      session.expect({ kind: 'describe', hidden: true, describes: portal })
    }
    session.expect({ kind: 'execute', runs: [run], portal, hasEffects: this.#predict(run) })
    return 'forward'
  }

  /** Values are masked by their type and format, and clients need not ask for them. */
  #needsColumns(run: CommandRun): boolean {
    const detects = this.#session.guarded.terms.detectors.length > 0
    return run.analysis.returnsRows && !run.analysis.copy && (run.masks || detects)
  }

  #close(): Verdict {
    const session = this.#session
    const { buffer, start, end } = this.#reader
    const unsettled = this.#unsettled()
    if (unsettled) return unsettled
    const target = decodeTarget(buffer, start, end)
    if (!target) return this.#malformed()
    if (target.name.startsWith(ownPrefix)) return this.#reserved()
    session.groupOpen = true
    session.expect({ kind: 'close', change: { of: target.kind, name: target.name } })
    return 'forward'
  }

  #sync(): Verdict {
    const session = this.#session
    session.groupOpen = false
    session.discarding = false
    session.expect({ kind: 'sync' })
    return 'forward'
  }

  #functionCall(): Verdict {
    const session = this.#session
    const unsettled = this.#unsettled()
    if (unsettled) return unsettled
    const { buffer, start, end } = this.#reader
    const analysis = functionCall(buffer, start, end, session.state)
    if (!analysis) return this.#malformed()
    session.groupOpen = false
    const run = this.#run(analysis, undefined, undefined)
    const refusal = this.#refuse([run])
    if (refusal) {
      this.#send(encode.query(placeholder(refusal.reference)))
      session.expect({ kind: 'query', refusal: refusal.message })
      return 'done'
    }
    session.state.predict(analysis.effects)
    session.expect({ kind: 'function', runs: [run], hasEffects: true })
    return 'forward'
  }
}

const unnamedPortalCloses: NameChange = { of: 'portal', name: '' }
