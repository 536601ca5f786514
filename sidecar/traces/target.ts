import type { OtlpAddress } from '../outbound/otlp.ts'

/** Where traces go, as whoever starts the sidecar says. The address has the path of traces: `https://host:4318/v1/traces`. */
export interface TraceTarget extends OtlpAddress {
  /** Of the sessions and of the commands that are traced: above 0, up to 1. */
  readonly share: number
}
