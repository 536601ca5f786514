/** Objects of S3 as they are named beside the path. */
import { canonicalPath } from '../../head/path.ts'
import type { CanonicalPath } from '../../request.ts'

/**
 * @param host of the target. In `bucket.s3.amazonaws.com` paths are keys, and rules are about them.
 * @param mayBeKey whether the bucket may be left out.
 * @returns what it may name, all of which it may be; undefined where it has no one form.
 */
export function sourcesOf(
  written: string,
  host: string,
  mayBeKey: boolean,
): readonly CanonicalPath[] | undefined {
  const [source = ''] = written.split('?')
  if (/[^\x21-\x7e]|[#\\]/.test(source)) return undefined
  // a plus is a space to some servers
  const texts = new Set([source, source.replaceAll('+', ' ')].map(decoded))
  const sources = [...texts].map((text) =>
    text !== undefined && (isOfBucket(text) || mayBeKey) && !isNameElsewhere(text)
      ? pathOf(text.replace(/^\//, ''))
      : undefined,
  )
  return sources.every((path) => path !== undefined)
    ? sources.map((path) => withoutBucket(path, host))
    : undefined
}

/** @returns the path of a key in what a path names; undefined where it has no one meaning. */
export function below({ segments }: CanonicalPath, key: string): CanonicalPath | undefined {
  return pathOf([...segments.filter((segment) => segment !== ''), key].join('/'))
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

/** `bucket/key` */
function isOfBucket(text: string): boolean {
  return /^\/?[A-Za-z0-9._-]{1,255}\/./s.test(text)
}

/** By an ARN a bucket has other names than in paths, and a URL may lead anywhere. */
function isNameElsewhere(text: string): boolean {
  return /^\/?[A-Za-z][A-Za-z0-9+.-]*:/.test(text)
}

/** Of text that can't be encoded (a lone surrogate) there is none. */
function pathOf(text: string): CanonicalPath | undefined {
  const encoded = text.isWellFormed() ? text.split('/').map(encodeURIComponent).join('/') : undefined
  const path = encoded === undefined ? undefined : canonicalPath(`/${encoded}`)
  return path?.ok ? path.value : undefined
}

/** With the reading in which the bucket is said by the host already. */
function withoutBucket(path: CanonicalPath, host: string): CanonicalPath {
  const [bucket = '', ...key] = path.segments
  const isInHost = key.length > 0 && host.toLowerCase().startsWith(`${bucket.toLowerCase()}.`)
  const alone = isInHost ? pathOf(key.join('/')) : undefined
  return alone
    ? { ...path, otherReadings: [...path.otherReadings, alone.segments, ...alone.otherReadings] }
    : path
}
