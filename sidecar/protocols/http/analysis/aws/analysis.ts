/** What requests of AWS's services do besides what method and path say: headers and bodies name actions and other objects. */
import type { Touch } from '@firebreak/policy'
import { headerOf } from '../../head/head.ts'
import type {
  CanonicalPath,
  HttpRequest,
  RequestAnalysis,
  RequestHead,
  Understanding,
} from '../../request.ts'
import { methodsOf } from '../meaning.ts'
import { deletedKeys, maximumDeletion } from './deletion.ts'
import { below, sourcesOf } from './sources.ts'

/** The object that is to be copied, as `/bucket/key`. */
const copySource = 'x-amz-copy-source'
/** The object that is to have another name, in the same bucket. */
const renameSource = 'x-amz-rename-source'
/** The operation, where all go to one path: `DynamoDB_20120810.DeleteTable`. */
const operation = 'x-amz-target'

const named: ReadonlySet<string> = new Set([copySource, renameSource, operation])

export interface AwsService {
  readonly service: string
  /** Of the target: it may have a bucket's name in it. */
  readonly host: string
}

export class AwsAnalysis implements RequestAnalysis {
  readonly #service: AwsService

  constructor(service: AwsService) {
    this.#service = service
  }

  needs(head: RequestHead): number | undefined {
    if (this.#deletesObjects(head)) return maximumDeletion
    return head.headers.some(([name]) => named.has(name)) ? 0 : undefined
  }

  understand(request: HttpRequest): Understanding {
    const all = [
      ...this.#source(request, copySource, ['http:read']),
      ...this.#source(request, renameSource, ['http:read', 'http:delete']),
      ...operationOf(request),
      ...(this.#deletesObjects(request) ? deletionOf(request) : []),
    ]
    return {
      touches: all.flatMap((part) => (typeof part === 'string' ? [] : part)),
      opaque: all.filter((part) => typeof part === 'string'),
      indirectUses: [],
      facts: {},
    }
  }

  /** Many objects by one request: https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html */
  #deletesObjects(head: RequestHead): boolean {
    return (
      this.#service.service === 's3' &&
      head.parameters.some(({ name }) => name.trim().toLowerCase() === 'delete') &&
      methodsOf(head).has('POST')
    )
  }

  #source({ headers }: RequestHead, header: string, actions: readonly string[]): Part[] {
    const written = headerOf(headers, header)
    if (written === undefined) return []
    const sources = sourcesOf(written, this.#service.host, header === renameSource)
    return sources
      ? sources.flatMap((source) => actions.map((action) => touchesOf(action, source)))
      : [`what ${header} names has no one meaning`]
  }
}

/** What is done; or why it is not known. */
type Part = readonly Touch[] | string

function operationOf({ headers, path }: RequestHead): Part[] {
  const name = headerOf(headers, operation)
  if (name === undefined) return []
  return /^[A-Za-z0-9._-]{1,128}$/.test(name)
    ? [[{ action: `aws:${name}`, object: { kind: 'path', path: path.segments }, origin: 'direct' }]]
    : ['the operation has no one meaning']
}

function deletionOf(request: HttpRequest): Part[] {
  const keys = deletedKeys(request)
  if (!keys.ok) return [keys.error]
  return keys.value.map((key) => {
    const path = below(request.path, key)
    return path ? touchesOf('http:delete', path) : 'what is to be deleted has no one meaning'
  })
}

function touchesOf(action: string, { segments, otherReadings }: CanonicalPath): Touch[] {
  const touch = (path: readonly string[], origin: Touch['origin']): Touch => ({
    action,
    object: { kind: 'path', path },
    origin,
  })
  return [touch(segments, 'direct'), ...otherReadings.map((reading) => touch(reading, 'implied'))]
}
