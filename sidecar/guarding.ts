/** What every way of running the enforcer does alike: from a directory of manifests, or as the operator's. */
import { isDeepStrictEqual } from 'node:util'
import { addressOf, type ManifestProblem, type ProtectedResource } from '@firebreak/crds'
import type { ResourceType } from '@firebreak/policy'
import { Audit } from './audit/audit.ts'
import type { AuditEvents } from './audit/outputs.ts'
import type { AuditTarget } from './audit/target.ts'
import { nameOf } from './configuration/name.ts'
import { dropLeftAccounts } from './listen/left-accounts.ts'
import { type Address, Listener } from './listen/listener.ts'
import type { Page } from './listen/pages.ts'
import type { SidecarMetrics } from './metrics/metrics.ts'
import manifest from './package.json' with { type: 'json' }
import { http } from './protocols/http/index.ts'
import { httpSpans } from './protocols/http/spans.ts'
import { kubernetes } from './protocols/kubernetes/index.ts'
import { commandLanguage } from './protocols/languages.ts'
import { postgresql } from './protocols/postgresql/index.ts'
import { sqlSpans } from './protocols/postgresql/spans.ts'
import type { Runtime } from './runtime.ts'
import type { Protocol } from './session.ts'
import { inWords } from './system-errors.ts'
import type { TraceLanguage } from './traces/language.ts'
import type { TraceTarget } from './traces/target.ts'

/** The protocols that are spoken, and the port that clients expect each on. */
export const protocols: Partial<
  Record<ResourceType, { readonly protocol: Protocol; readonly port: number; readonly spans?: TraceLanguage }>
> = {
  postgresql: { protocol: postgresql, port: 5432, spans: sqlSpans },
  http: { protocol: http, port: 8080, spans: httpSpans },
  kubernetes: { protocol: kubernetes, port: 6443 },
}

/** What becomes of the audit trail. */
export type AuditEvent =
  /** Lines wait, in memory or in the spool; sessions wait where the policy says so. */
  | { readonly kind: 'auditFailed'; readonly message: string }
  | { readonly kind: 'auditRecovered' }
  /** A receiver elsewhere takes no lines: they are kept in its spool until it does. */
  | { readonly kind: 'auditUndelivered'; readonly receiver: string; readonly reason: string }
  | { readonly kind: 'auditDelivered'; readonly receiver: string }
  /** At the end. */
  | { readonly kind: 'auditLost'; readonly lines: number }

export function auditEvents(tell: (event: AuditEvent) => void): AuditEvents {
  return {
    failed: ({ message }) => tell({ kind: 'auditFailed', message }),
    recovered: () => tell({ kind: 'auditRecovered' }),
    undelivered: (receiver, reason) => tell({ kind: 'auditUndelivered', receiver, reason }),
    delivered: (receiver) => tell({ kind: 'auditDelivered', receiver }),
  }
}

/** @throws Error in words. */
export async function openAudit(
  targets: readonly AuditTarget[],
  events: AuditEvents,
  more: Parameters<typeof Audit.open>[3] = {},
): Promise<Audit> {
  return await Audit.open(targets, commandLanguage, events, more).catch((error: unknown) => {
    const { path } = error as NodeJS.ErrnoException
    throw new Error(`the audit trail can't be written${path ? ` to ${path}` : ''}: ${inWords(error)}`)
  })
}

/** Counts what is done from now on. */
export async function measure(runtime: Runtime): Promise<SidecarMetrics> {
  // loaded only where it is wanted
  const { SidecarMetrics } = await import('./metrics/metrics.ts')
  const { audit } = runtime
  const metrics = new SidecarMetrics({
    revision: () => runtime.configuration.snapshot.revision,
    sessions: () => [...runtime.sessions].map(({ subject }) => subject.resource),
    audit: { waiting: () => audit.waiting(), blocked: () => audit.blocks('block') },
  })
  runtime.metrics = metrics
  audit.observers.push(metrics)
  return metrics
}

/** What becomes of the traces. */
export type TraceEvent =
  /** The collector takes no spans: those that there is no room for are dropped. */
  | { readonly kind: 'tracesUndelivered'; readonly collector: string; readonly reason: string }
  | { readonly kind: 'tracesDelivered'; readonly collector: string }

/** Traces go there from now on, or nowhere. @param about what the spans' resource has beside the program. */
export async function followTraces(
  runtime: Runtime,
  target: TraceTarget | undefined,
  about: Readonly<Record<string, string>>,
  tell: (event: TraceEvent) => void,
): Promise<void> {
  const before = runtime.traces
  if (isDeepStrictEqual(before?.target, target)) return
  if (before) {
    runtime.traces = undefined
    runtime.audit.observers.splice(runtime.audit.observers.indexOf(before), 1)
    // what waits is sent meanwhile
    void before[Symbol.asyncDispose]()
  }
  if (target) await trace(runtime, target, about, tell)
}

async function trace(
  runtime: Runtime,
  target: TraceTarget,
  about: Readonly<Record<string, string>>,
  tell: (event: TraceEvent) => void,
): Promise<void> {
  // loaded only where it is wanted
  const { SpanExporter } = await import('./traces/exporter.ts')
  const { Traces } = await import('./traces/traces.ts')
  const { audit } = runtime
  const resource = {
    'service.name': 'firebreak',
    'service.version': manifest.version,
    'service.instance.id': audit.source,
    ...about,
  }
  const exporter = new SpanExporter(target, resource, {
    undelivered: (collector, reason) => tell({ kind: 'tracesUndelivered', collector, reason }),
    delivered: (collector) => tell({ kind: 'tracesDelivered', collector }),
    counted: (outcome, spans) => runtime.metrics?.spans(outcome, spans),
  })
  const languages = Object.entries(protocols).flatMap(([type, { spans }]) => (spans ? [[type, spans]] : []))
  runtime.traces = new Traces(exporter, target, {
    placeOf: (name) => {
      const { resources } = runtime.configuration.manifests
      const resource = resources.find((candidate) => nameOf(candidate) === name)
      return resource && { ...addressOf(resource), database: resource.spec.database }
    },
    languages: Object.fromEntries(languages),
    textOf: (entry, policy) => audit.textWithoutConstants(entry, policy),
  })
  audit.observers.push(runtime.traces)
}

export async function metricsPage(metrics: SidecarMetrics): Promise<Page> {
  return { status: 200, ...(await metrics.page()) }
}

/** Guards a resource on an address. @throws the system's error. */
export async function openListener(
  resource: ProtectedResource,
  protocol: Protocol,
  runtime: Runtime,
  address: Address,
  identity: string | undefined,
): Promise<Listener> {
  const listener = await Listener.open(resource, protocol, runtime, address, identity)
  void dropLeftAccounts(resource, protocol, runtime)
  return listener
}

/** Tells every session, and closes what they came in by. */
export async function endSessions(
  { sessions }: Runtime,
  listeners: readonly { close(): Promise<void> }[],
): Promise<void> {
  for (const session of sessions) session.shutDown()
  await Promise.all(listeners.map((listener) => listener.close()))
  // those that never came to be served: each start has its end
  for (const session of sessions) session[Symbol.dispose]()
}

export function inOneLine({ location, object, field, message }: ManifestProblem): string {
  const about = [object, field].filter((part) => part !== '').join(' ')
  const line = location.line === 0 ? '' : `:${location.line}`
  return `${location.file}${line}: ${about === '' ? '' : `${about}: `}${message}`
}
