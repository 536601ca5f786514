import { isDeepStrictEqual } from 'node:util'

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
      /** Absent: as any AWS client finds them where it runs. */
      readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string } | undefined
      /** PEM, for a server that the system's authorities don't know. */
      readonly ca?: string | undefined
    }
  | {
      readonly kind: 'postgresql'
      /** Without a password. */
      readonly url: string
      readonly password?: string | undefined
      /** PEM, for a server that the system's authorities don't know. */
      readonly ca?: string | undefined
    }

/** Whether two say the same place, whatever they open it with. */
export function isSamePlace(one: RecordingTarget, other: RecordingTarget): boolean {
  return isDeepStrictEqual(placeOf(one), placeOf(other))
}

/** As `--recordings` takes it, without what it is opened with. */
export function placeInWords(target: RecordingTarget): string {
  switch (target.kind) {
    case 'directory':
      return target.path
    case 's3': {
      const { bucket, prefix, endpoint, region } = target
      const options = Object.entries({ endpoint, region }).filter(([, value]) => value !== undefined)
      return [`s3://${bucket}/${prefix}`, ...options.map(([name, value]) => `${name}=${value}`)].join()
    }
    case 'postgresql': {
      const { host, pathname } = new URL(target.url)
      return `postgresql://${host}${pathname}`
    }
  }
}

function placeOf(target: RecordingTarget): unknown {
  switch (target.kind) {
    case 'directory':
      return target
    case 's3': {
      const { kind, bucket, prefix, endpoint } = target
      return { kind, bucket, prefix, endpoint }
    }
    case 'postgresql': {
      const { kind, url } = target
      return { kind, url }
    }
  }
}
