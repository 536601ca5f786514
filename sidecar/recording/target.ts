/** Where recordings are kept, as somebody has said it; with what it is opened with, which lives in memory only. */
export type RecordingTarget =
  | { readonly kind: 'directory'; readonly path: string }
  | {
      readonly kind: 's3'
      readonly bucket: string
      /** Of the names of all objects; ends with a slash where it isn't empty. */
      readonly prefix: string
      /** Absent: Amazon's. */
      readonly endpoint?: string | undefined
      /** Absent: what the environment says. */
      readonly region?: string | undefined
    }
  | {
      readonly kind: 'postgresql'
      /** Without a password. */
      readonly url: string
      readonly password?: string | undefined
      /** PEM, for a server that the system's authorities don't know. */
      readonly ca?: string | undefined
    }
