/**
 * What Prometheus reads of one sidecar. No label names an identity, a command or a client: the agent in the pod can read
 * this too, and how many values a label has must not be up to anybody.
 */
import type { Subject } from '@firebreak/policy'
import { collectDefaultMetrics, Gauge, Registry } from 'prom-client'
import type { AuditObserver, SessionIdentity } from '../audit/audit.ts'
import type { Notices } from '../audit/lines.ts'
import manifest from '../package.json' with { type: 'json' }
import type { CommandAudit, HoldOutcome } from '../session.ts'
import { Count, Distribution, Tally } from './tally.ts'

/** In seconds. */
const latencies = [
  0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5,
]
const durations = [0.000_5, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60]
const waits = [1, 5, 15, 30, 60, 120, 300, 600, 1_800, 3_600, 14_400]

/** What is looked at when Prometheus asks. */
export interface Observed {
  /** Of the policy in force. */
  readonly revision: () => string
  /** Resources of the open sessions, one for each. */
  readonly sessions: () => Iterable<string>
  readonly audit: {
    /** By sink: bytes that it has not got yet. */
    readonly waiting: () => Iterable<readonly [string, number]>
    /** Whether commands wait for it under the strictest policy. */
    readonly blocked: () => boolean
  }
}

/** What is counted for every command of a resource. */
interface ResourceTallies {
  readonly decided: Readonly<Record<'allow' | 'deny' | 'hold', Count>>
  readonly failed: Count
  readonly rows: Count
  readonly bytes: Count
  readonly masked: Count
  readonly duration: Distribution
  readonly added: Distribution
  /** Commands that wait for people now. */
  readonly waiting: Count
}

export class SidecarMetrics implements AuditObserver {
  readonly #registry = new Registry()
  readonly #commands = this.#counter('commands_total', 'Commands by what was decided.', [
    'resource',
    'decision',
  ])
  readonly #failures = this.#counter('command_failures_total', 'Commands that ended with an error.', [
    'resource',
  ])
  readonly #rows = this.#counter('response_rows_total', 'Rows that reached clients.', ['resource'])
  readonly #bytes = this.#counter('response_bytes_total', 'Response bytes that reached clients.', [
    'resource',
  ])
  readonly #masked = this.#counter('masked_fields_total', 'Fields of results that were masked.', ['resource'])
  readonly #durations = this.#histogram(
    'command_seconds',
    'From the decision on a command to the end of its answer.',
    ['resource'],
    durations,
  )
  readonly #added = this.#histogram(
    'added_latency_seconds',
    'From the arrival of a command to the decision on it, without the time that people took.',
    ['resource'],
    latencies,
  )
  readonly #holds = this.#histogram(
    'hold_seconds',
    'How long a held command waited for people, by what came of it.',
    ['resource', 'outcome'],
    waits,
  )
  readonly #starts = this.#counter('sessions_started_total', 'Sessions that began.', ['resource'])
  readonly #refusals = this.#counter('sessions_refused_total', 'Clients that were not let in.', ['resource'])
  readonly #signals = this.#counter('signals_total', 'Signals that were raised.', ['kind', 'severity'])
  readonly #approvals = this.#counter(
    'approval_events_total',
    'What happened to approval requests and elevations.',
    ['event'],
  )
  readonly #recordings = this.#counter('recording_events_total', 'What happened to recordings of sessions.', [
    'event',
  ])
  readonly #egress = this.#counter(
    'egress_refused_total',
    'What left the pod without being allowed to, or tried.',
    ['kind'],
  )
  readonly #configurations = this.#counter('configurations_total', 'Configurations by what became of them.', [
    'outcome',
  ])
  readonly #dropped = this.#counter('audit_dropped_lines_total', 'Audit lines that a sink never gets.', [
    'sink',
  ])
  readonly #spans = this.#counter('trace_spans_total', 'Spans of traces by what became of them.', ['outcome'])
  readonly #byResource = new Map<string, ResourceTallies>()

  constructor(observed: Observed) {
    collectDefaultMetrics({ register: this.#registry })
    this.#gauge('build_info', 'Version of the program.', ['version'], (set) =>
      set(1, { version: manifest.version }),
    )
    this.#gauge('policy_info', 'Revision of the policy in force.', ['revision'], (set) =>
      set(1, { revision: observed.revision() }),
    )
    this.#gauge('sessions', 'Open sessions.', ['resource'], (set) => {
      const open = Map.groupBy(observed.sessions(), (resource) => resource)
      // one whose last session is over is 0, and not gone
      for (const resource of new Set([...this.#byResource.keys(), ...open.keys()]))
        set(open.get(resource)?.length ?? 0, { resource })
    })
    this.#gauge('holds', 'Commands that wait for people now.', ['resource'], (set) => {
      for (const [resource, { waiting }] of this.#byResource) set(waiting.value, { resource })
    })
    this.#gauge('audit_waiting_bytes', 'Audit lines that a sink has not got yet.', ['sink'], (set) => {
      for (const [sink, bytes] of observed.audit.waiting()) set(bytes, { sink })
    })
    this.#gauge('audit_blocked', 'Whether commands wait for the audit trail to be written.', [], (set) =>
      set(observed.audit.blocked() ? 1 : 0, {}),
    )
  }

  command({ subject }: SessionIdentity, { decision, outcome }: CommandAudit): void {
    const tallies = this.#of(subject.resource)
    tallies.decided[decision.effect].value++
    if (outcome.error) tallies.failed.value++
    tallies.rows.value += outcome.rows
    tallies.bytes.value += outcome.bytes
    tallies.masked.value += outcome.maskedFields.length
    tallies.duration.observe(outcome.milliseconds / 1_000)
    if (outcome.addedMilliseconds !== undefined) tallies.added.observe(outcome.addedMilliseconds / 1_000)
  }

  sessionStarted({ subject }: SessionIdentity): void {
    this.#of(subject.resource)
    this.#starts.of(subject.resource).value++
  }

  sessionEnded(): void {}

  spans(outcome: 'exported' | 'dropped', count: number): void {
    this.#spans.of(outcome).value += count
  }

  notice<Event extends keyof Notices>(event: Event, fields: Notices[Event]): void {
    const { kind = '', severity = '', resource = '', sink = '', count = 1 } = fields as Partial<Labelled>
    if (event === 'signal') this.#signals.of(kind, severity).value++
    else if (event === 'session.refused') this.#refusals.of(resource).value++
    else if (event === 'egress.refused') this.#egress.of(kind).value += count
    else if (event === 'audit.dropped') this.#dropped.of(sink).value += count
    else if (event.startsWith('configuration.'))
      this.#configurations.of(event.slice('configuration.'.length)).value++
    else if (event.startsWith('recording.')) this.#recordings.of(event).value++
    else if (event.startsWith('approval.') || event.startsWith('elevation.'))
      this.#approvals.of(event).value++
  }

  /** A command waits for people. @returns what is to be told what came of it. */
  holding({ resource }: Subject): (outcome: HoldOutcome['kind']) => void {
    const waiting = this.#of(resource).waiting
    const since = performance.now()
    waiting.value++
    return (outcome) => {
      waiting.value--
      this.#holds.of(resource, outcome).observe((performance.now() - since) / 1_000)
    }
  }

  /** https://prometheus.io/docs/instrumenting/exposition_formats/ */
  async page(): Promise<{ readonly contentType: string; readonly body: string }> {
    return { contentType: this.#registry.contentType, body: await this.#registry.metrics() }
  }

  #of(resource: string): ResourceTallies {
    let tallies = this.#byResource.get(resource)
    if (!tallies) {
      tallies = {
        decided: {
          allow: this.#commands.of(resource, 'allow'),
          deny: this.#commands.of(resource, 'deny'),
          hold: this.#commands.of(resource, 'hold'),
        },
        failed: this.#failures.of(resource),
        rows: this.#rows.of(resource),
        bytes: this.#bytes.of(resource),
        masked: this.#masked.of(resource),
        duration: this.#durations.of(resource),
        added: this.#added.of(resource),
        waiting: new Count(),
      }
      this.#byResource.set(resource, tallies)
    }
    return tallies
  }

  #counter(name: string, help: string, labels: readonly string[]): Tally<Count> {
    return new Tally(this.#registry, { name: `firebreak_${name}`, help, labels }, () => new Count())
  }

  #histogram(
    name: string,
    help: string,
    labels: readonly string[],
    bounds: readonly number[],
  ): Tally<Distribution> {
    return new Tally(
      this.#registry,
      { name: `firebreak_${name}`, help, labels },
      () => new Distribution(bounds),
    )
  }

  #gauge(
    name: string,
    help: string,
    labelNames: string[],
    read: (set: (value: number, labels: Readonly<Record<string, string>>) => void) => void,
  ): void {
    new Gauge({
      name: `firebreak_${name}`,
      help,
      labelNames,
      registers: [this.#registry],
      collect() {
        this.reset()
        read((value, labels) => this.set(labels, value))
      },
    })
  }
}

/** What labels are taken from, in the lines that have it. */
interface Labelled {
  readonly kind: string
  readonly severity: string
  readonly resource: string
  readonly sink: string
  readonly count: number
}
