/** Where an audit trail is to go, as whoever starts the sidecar says. */

export type AuditTarget =
  | { readonly kind: 'standardOutput' }
  | {
      readonly kind: 'file'
      /** Of a file or a named pipe. */
      readonly path: string
      /** Absent: something else rotates it, or nothing does. */
      readonly rotation?: Rotation | undefined
    }
  | RemoteTarget

/** When a file is put aside as `PATH.1`. */
export interface Rotation {
  readonly bytes?: number | undefined
  readonly milliseconds?: number | undefined
  /** How many are kept: `PATH.1` is the newest of them. */
  readonly keep: number
}

/** Somewhere else: what it has not got yet is kept in a spool. */
export type RemoteTarget = { readonly spool: SpoolTarget } & ReceiverTarget

/** Who gets the lines, and what it is asked with. */
export type ReceiverTarget =
  | {
      readonly kind: 'http'
      readonly url: string
      /** Both sides know it: what is sent is signed with it. */
      readonly secret: string
      readonly format: 'lines' | 'ocsf'
      readonly ca?: string | undefined
    }
  | {
      readonly kind: 'otlp'
      /** Of the logs: `https://host:4318/v1/logs`. */
      readonly url: string
      /** Such as `authorization`. */
      readonly headers: Readonly<Record<string, string>>
      readonly ca?: string | undefined
    }
  | {
      readonly kind: 'postgresql'
      /** Without a password. */
      readonly url: string
      readonly password?: string | undefined
      readonly ca?: string | undefined
    }

export interface SpoolTarget {
  readonly directory: string
  /** In bytes. */
  readonly limit: number
}

/** Lines gathered in the spool of a sink elsewhere may take this much of the disk, in bytes. */
export const defaultSpoolLimit = 256 * 1024 * 1024
