/** What a replica of the operator is started with. */
import type { ServingPlace } from './certificates/serving.ts'
import type { OperatorPlace } from './containment/names.ts'
import type { InjectionContext } from './injection/inject.ts'
import type { ApiServerAccess } from './kubernetes/client.ts'
import type { Probe } from './reconcile/protected-resource.ts'
import type { RecordTargets } from './records/records.ts'
import type { WebhookTarget } from './webhooks/configurations.ts'

export interface OperatorOptions {
  readonly kubeConfig: ApiServerAccess
  /** Of this replica; the pod's name. */
  readonly replica: string
  readonly place: OperatorPlace
  /** The operator's own user, as the API server knows it. */
  readonly user: string
  readonly certificate: ServingPlace
  /** Name of the Secret with the key of what agents' pods trust (`firebreak-client-authority`); it is made where there is none. */
  readonly clientAuthoritySecret?: string | undefined
  /** Address of the API server's Service in this cluster, by which clients in pods find it. */
  readonly apiServer?: string | undefined
  readonly webhooks: { readonly host?: string; readonly port: number } & (
    | { readonly service: NonNullable<WebhookTarget['service']> }
    /** Where the operator runs outside of the cluster. */
    | { readonly outside: true }
  )
  readonly images: InjectionContext['images']
  /** The only namespaces whose Secrets are read; all, when absent. */
  readonly secretNamespaces?: readonly string[] | undefined
  /** Where the configuration stream is served. */
  readonly stream: { readonly host?: string; readonly port: number }
  /** `host:port` at which sidecars reach it. */
  readonly control: string
  readonly probe: Probe
  /** A webhook that is told of approval requests and signals, and the secret that it is signed with. */
  readonly notify?: { readonly url: string; readonly secret: string } | undefined
  /** Where agents' records go. Absent: audit lines to their enforcers' standard output, recordings nowhere. */
  readonly records?: RecordsOptions | undefined
  readonly log: OperatorLog
}

export interface RecordsOptions {
  /** Name of the Secret with the key that vouches for recordings; it is made where there is none. */
  readonly authoritySecret: string
  /** Is called again and again: what is in the files behind it changes. */
  readonly read: () => RecordTargets
  /** Where audit lines of the operator's own wait for the sinks elsewhere. */
  readonly spoolDirectory: string
}

export interface OperatorLog {
  error(fields: Readonly<Record<string, unknown>>, message: string): void
  info(fields: Readonly<Record<string, unknown>>, message: string): void
}
