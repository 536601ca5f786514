/** A station with files and clocks of its own, and sessions that ask it. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ApprovalRequest } from '@firebreak/crds'
import type { Command, Decision, Subject } from '@firebreak/policy'
import { until } from '../../../test/eventually.ts'
import type { Clock } from '../../clock.ts'
import type { HeldCommand, HoldOutcome } from '../../session.ts'
import { FileStore } from '../file-store.ts'
import type { HoldingSession } from '../holds.ts'
import { formatRequest, parseRequest } from '../request-file.ts'
import { ApprovalStation, type StationOptions } from '../station.ts'
import type { ApprovalStore, Attempt } from '../store.ts'

export class SettableClock implements Clock {
  wallOffset = 0
  monotonicOffset = 0

  wall(): number {
    return Date.now() + this.wallOffset
  }

  monotonic(): number {
    return performance.now() + this.monotonicOffset
  }
}

export interface Line extends Readonly<Record<string, unknown>> {
  readonly event: string
}

export class Desk implements AsyncDisposable {
  readonly directory = mkdtempSync(join(tmpdir(), 'firebreak-station-'))
  readonly clock = new SettableClock()
  readonly lines: Line[] = []
  elevationsChanged = 0
  #station: ApprovalStation | undefined

  get station(): ApprovalStation {
    if (!this.#station) throw new Error('the station is not open')
    return this.#station
  }

  async open(options: Partial<StationOptions> = {}): Promise<ApprovalStation> {
    this.#station = await ApprovalStation.open({
      store: await FileStore.open(this.directory),
      clock: this.clock,
      notice: (event, fields) => this.lines.push({ event, ...fields }),
      elevationsChanged: () => this.elevationsChanged++,
      ...options,
    })
    return this.#station
  }

  async close(): Promise<void> {
    await this.#station?.[Symbol.asyncDispose]()
    this.#station = undefined
  }

  path(name: string): string {
    return join(this.directory, `${name}.yaml`)
  }

  read(name: string): ApprovalRequest {
    const parsed = parseRequest(readFileSync(this.path(name), 'utf8'))
    if (!parsed.ok) throw new Error(parsed.error)
    return parsed.value
  }

  /** As somebody with an editor does it. */
  edit(name: string, change: (request: ApprovalRequest) => unknown): void {
    const request = this.read(name)
    change(request)
    writeFileSync(this.path(name), formatRequest(request))
  }

  decide(name: string, decision: 'Approved' | 'Denied', reason?: string): void {
    this.edit(name, ({ spec }) => Object.assign(spec, { decision, ...(reason !== undefined && { reason }) }))
  }

  events(): string[] {
    return this.lines.map(({ event }) => event)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
    rmSync(this.directory, { recursive: true, force: true })
  }
}

/** A store in memory, whose requests people of any name write to. */
export class Memory implements ApprovalStore {
  readonly requests = new Map<string, ApprovalRequest>()
  #listener: (attempt: Attempt) => void = () => {}

  async load(): Promise<readonly ApprovalRequest[]> {
    return []
  }

  subscribe(listener: (attempt: Attempt) => void): void {
    this.#listener = listener
  }

  isOwn(): boolean {
    return true
  }

  async asker(): Promise<undefined> {}

  async add(request: ApprovalRequest): Promise<ApprovalRequest> {
    await this.write(request)
    return request
  }

  async use(request: ApprovalRequest): Promise<boolean> {
    await this.write(request)
    return true
  }

  async write(request: ApprovalRequest): Promise<void> {
    this.requests.set(request.metadata.name, request)
  }

  decide(name: string, user: string, groups: readonly string[], decision: 'Approved' | 'Denied'): void {
    const request = this.requests.get(name)
    const after = request && { ...request, spec: { ...request.spec, decision } }
    this.#listener({ name, by: { user, groups }, after })
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

const rule = { policy: 'agents/guard', rule: 'ask' } as const

/** A decision that holds, as the policy would make it. */
export function holding(approval: Partial<Extract<Decision, { effect: 'hold' }>['approval']> = {}): Decision {
  return {
    effect: 'hold',
    rule,
    reason: 'it needs approval',
    matched: [],
    alerts: [],
    touchesMasked: false,
    revision: 'r',
    masks: [],
    approval: {
      requirements: [{ rule, groups: [], quorum: 1 }],
      expiresAfterSeconds: 600,
      whileWaiting: 'wait',
      boundTo: 'identity',
      ...approval,
    },
  }
}

export const subject: Subject = {
  chain: [{ identity: 'agents/worker', groups: ['staff'] }],
  resource: 'agents/orders-db',
  role: 'reader',
}

export class Agent implements HoldingSession {
  readonly id: string
  readonly subject: Subject
  readonly ended = new AbortController()
  readonly signal = this.ended.signal
  agentUser: string | undefined
  decision: Decision = holding()

  constructor(id: string, who: Subject = subject) {
    this.id = id
    this.subject = who
  }

  decide(): Decision {
    return this.decision
  }
}

export class Ask {
  readonly gone = new AbortController()
  readonly told: string[] = []
  readonly outcome: Promise<HoldOutcome>

  constructor(station: ApprovalStation, agent: Agent, text: string, more: Partial<HeldCommand> = {}) {
    const held = {
      reference: 'R1',
      commands: [drop],
      statement: Buffer.from(text),
      text,
      parameters: [],
      context: ['database orders'],
      signal: this.gone.signal,
      onAsked: (_request: string, message: string) => this.told.push(message),
      ...more,
    }
    this.outcome = station.hold(agent, held, agent.agentUser)
  }

  /** Name of the request that it waits for. */
  async name(index = 0): Promise<string> {
    const message = await until(() => this.told[index], 'nobody was asked')
    return /approvalrequest\/(\S+)/.exec(message)?.[1] ?? ''
  }
}

export const drop: Command = {
  resourceType: 'postgresql',
  text: 'DROP TABLE carts',
  touches: [{ action: 'sql:drop', object: { kind: 'table', path: ['public', 'carts'] }, origin: 'direct' }],
  opaque: [],
  fields: [],
  indirectUses: [],
  facts: {},
}
