/** What requests of AWS's services do besides what method and path say: their headers name actions and other objects. */
import type { Touch } from '@firebreak/policy'
import { headerOf } from '../head/head.ts'
import { canonicalPath } from '../head/path.ts'
import type { CanonicalPath, RequestAnalysis, RequestHead, Understanding } from '../request.ts'

/** The object that is to be copied, as `/bucket/key`. */
const copySource = 'x-amz-copy-source'
/** The operation, where all go to one path: `DynamoDB_20120810.DeleteTable`. */
const operation = 'x-amz-target'

export class AwsAnalysis implements RequestAnalysis {
  needs({ headers }: RequestHead): number | undefined {
    return headers.some(([name]) => name === copySource || name === operation) ? 0 : undefined
  }

  understand({ headers, path }: RequestHead): Understanding {
    const touches: Touch[] = []
    const opaque: string[] = []
    const copied = headerOf(headers, copySource)
    if (copied !== undefined) {
      const source = sourceOf(copied)
      if (source) touches.push(...readOf(source))
      else opaque.push('what is copied has no one meaning')
    }
    const named = headerOf(headers, operation)
    if (named !== undefined) {
      if (/^[A-Za-z0-9._-]{1,128}$/.test(named))
        touches.push({
          action: `aws:${named}`,
          object: { kind: 'path', path: path.segments },
          origin: 'direct',
        })
      else opaque.push('the operation has no one meaning')
    }
    return { touches, opaque, indirectUses: [], facts: {} }
  }
}

function readOf({ segments, otherReadings }: CanonicalPath): Touch[] {
  const read = (path: readonly string[], origin: Touch['origin']): Touch => ({
    action: 'http:read',
    object: { kind: 'path', path },
    origin,
  })
  return [read(segments, 'direct'), ...otherReadings.map((reading) => read(reading, 'implied'))]
}

function sourceOf(written: string): CanonicalPath | undefined {
  const [source = ''] = written.split('?')
  // by an ARN, a bucket has other names than in paths
  if (source.startsWith('arn:')) return undefined
  const path = canonicalPath(source.startsWith('/') ? source : `/${source}`)
  return path.ok ? path.value : undefined
}
