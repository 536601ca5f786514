/** The mask for a response, by what the response says of its body. What can't be looked into is refused. */
import { maskDetected } from '@firebreak/policy'
import type { Result } from '../../../session.ts'
import type {
  BodyMask,
  BodyTerms,
  ContentCoding,
  HeaderFields,
  HttpRequest,
  ResponseHead,
} from '../request.ts'
import { type ContentType, codingsOf, contentTypeOf, isJsonType } from './content-type.ts'
import { CsvMask } from './csv.ts'
import { FormMask } from './form.ts'
import { JsonMask } from './json/mask.ts'
import { JsonOrText } from './json-or-text.ts'
import { PlainTextMask } from './plain-text.ts'
import { PreparedMask } from './prepared.ts'
import { EventMask } from './server-sent-events.ts'
import { MaskedLabels, type Preparation, type TextMask, Utf8Check } from './text-mask.ts'

/** What is done before masking, which then needs documents as a whole. */
export interface Preparations {
  readonly json?: Preparation
  /** To the data of each event. */
  readonly events?: Preparation
}

export function openBodyMask(
  request: HttpRequest,
  response: ResponseHead,
  terms: BodyTerms,
  preparations: Preparations = {},
): Result<BodyMask, string> {
  return maskedBody(request, response, terms, (type, labels) =>
    openTextMask(type, terms, labels, preparations),
  )
}

/** @param openText the mask for a body of a type, once its compression is undone. */
export function maskedBody(
  request: HttpRequest,
  response: ResponseHead,
  terms: BodyTerms,
  openText: (type: ContentType, labels: MaskedLabels) => Result<TextMask, string>,
): Result<BodyMask, string> {
  const labels = new MaskedLabels()
  const head = maskedHead(response, terms, labels)
  if (hasNoBody(request, response)) return { ok: true, value: new EmptyBody(head, labels) }
  if (response.status === 206 || response.headers.some(([name]) => name === 'content-range'))
    return refused('a part of a body can’t be masked')
  const codings = codingsOf(response.headers)
  if (!codings.ok) return codings
  const type = contentTypeOf(response.headers)
  if (!type.ok) return type
  const mask = openText(type.value, labels)
  if (!mask.ok) return mask
  return { ok: true, value: new MaskedBody(head, codings.value.toReversed(), mask.value, labels) }
}

function refused(error: string): Result<never, string> {
  return { ok: false, error }
}

/** https://www.rfc-editor.org/rfc/rfc9110#section-6.4.1 */
function hasNoBody({ method }: HttpRequest, { status, headers }: ResponseHead): boolean {
  return (
    method === 'HEAD' ||
    status === 204 ||
    status === 304 ||
    headers.some(([name, value]) => name === 'content-length' && value === '0')
  )
}

const sequences = new Set([
  'application/x-ndjson',
  'application/ndjson',
  'application/jsonl',
  'application/x-jsonlines',
  'application/stream+json',
])

function openTextMask(
  { mediaType, parameters }: ContentType,
  terms: BodyTerms,
  labels: MaskedLabels,
  { json: prepareJson, events: prepareEvent }: Preparations,
): Result<TextMask, string> {
  const json = (): TextMask => new JsonMask(terms, labels, true)
  const orJson = (text: () => TextMask): Result<TextMask, string> => ({
    ok: true,
    value: new JsonOrText(json, text),
  })
  if (sequences.has(mediaType)) return { ok: true, value: json() }
  if (isJsonType(mediaType)) {
    const mask = new JsonMask(terms, labels, false)
    return { ok: true, value: prepareJson ? new PreparedMask(mask, prepareJson) : mask }
  }
  switch (mediaType) {
    case 'text/event-stream':
      return { ok: true, value: new EventMask(terms, labels, prepareEvent) }
    case 'text/csv':
      if (terms.masksFields && parameters.get('header') === 'absent')
        return refused('CSV without names of its columns can’t be masked')
      return orJson(() => new CsvMask(terms, labels))
    case 'application/x-www-form-urlencoded':
      return orJson(() => new FormMask(terms, labels))
    case '':
    case 'text/plain':
    case 'text/markdown':
      // text has no fields that masks could go by, unless it is JSON
      return terms.masksFields ? { ok: true, value: json() } : orJson(() => new PlainTextMask(terms, labels))
    default:
      return refused(`a body of type ${mediaType} can’t be looked into`)
  }
}

/** What is about the bytes as they were: their length, how they are compressed, digests and signatures over them. */
const aboutBytes =
  /^(content-length|content-encoding|content-md5|content-digest|repr-digest|digest|etag|accept-ranges|signature|signature-input|x-amz-checksum-.*|x-goog-hash|x-goog-stored-.*|x-decompressed-content-length|x-original-content-length)$/
/** Opaque to clients, and theirs to give back. */
const givenBack = new Set(['set-cookie', 'last-modified', 'date'])

/** A digest or a tag made of the content tells it to whoever tries values; so it goes, where the content is masked. */
function maskedHead({ status, headers }: ResponseHead, terms: BodyTerms, labels: MaskedLabels): ResponseHead {
  const masked: HeaderFields = headers
    .filter(([name]) => !aboutBytes.test(name))
    .map(([name, value]) => {
      const inspected = givenBack.has(name) ? value : maskDetected(value, terms.detectors)
      if (inspected !== value) labels.add(name)
      return [name, inspected] as const
    })
  return { status, headers: masked }
}

class EmptyBody implements BodyMask {
  readonly head: ResponseHead
  readonly codings: readonly ContentCoding[] = []
  readonly #labels: MaskedLabels

  constructor(head: ResponseHead, labels: MaskedLabels) {
    this.head = head
    this.#labels = labels
  }

  get masked(): readonly string[] {
    return this.#labels.list()
  }

  push(chunk: Buffer): Result<readonly Buffer[], string> {
    return chunk.length === 0 ? { ok: true, value: [] } : refused('there is a body where none may be')
  }

  end(): Result<readonly Buffer[], string> {
    return { ok: true, value: [] }
  }
}

const byteOrderMark = Buffer.from('\ufeff')

/** Text that was checked to be UTF-8, without the mark that may stand before it. */
class MaskedBody implements BodyMask {
  readonly head: ResponseHead
  readonly codings: readonly ContentCoding[]
  readonly #mask: TextMask
  readonly #labels: MaskedLabels
  readonly #utf8 = new Utf8Check()
  /** The first bytes, until it is clear whether they are a byte order mark. */
  #beginning: Buffer | undefined = Buffer.alloc(0)

  constructor(head: ResponseHead, codings: readonly ContentCoding[], mask: TextMask, labels: MaskedLabels) {
    this.head = head
    this.codings = codings
    this.#mask = mask
    this.#labels = labels
  }

  get masked(): readonly string[] {
    return this.#labels.list()
  }

  push(chunk: Buffer): Result<readonly Buffer[], string> {
    if (!this.#utf8.accepts(chunk)) return refused('the body is no text in UTF-8')
    if (!this.#beginning) return listOf(this.#mask.push(chunk))
    const beginning = this.#beginning.length === 0 ? chunk : Buffer.concat([this.#beginning, chunk])
    if (beginning.length < byteOrderMark.length && byteOrderMark.indexOf(beginning) === 0) {
      this.#beginning = Buffer.from(beginning)
      return { ok: true, value: [] }
    }
    return this.#begin(beginning)
  }

  end(): Result<readonly Buffer[], string> {
    if (!this.#utf8.atEnd()) return refused('the body is no text in UTF-8')
    const begun = this.#beginning ? this.#begin(this.#beginning) : { ok: true as const, value: [] }
    if (!begun.ok) return begun
    const rest = listOf(this.#mask.end())
    return rest.ok ? { ok: true, value: [...begun.value, ...rest.value] } : rest
  }

  #begin(beginning: Buffer): Result<readonly Buffer[], string> {
    this.#beginning = undefined
    const hasMark = beginning.subarray(0, byteOrderMark.length).equals(byteOrderMark)
    const masked = listOf(this.#mask.push(hasMark ? beginning.subarray(byteOrderMark.length) : beginning))
    return hasMark && masked.ok ? { ok: true, value: [byteOrderMark, ...masked.value] } : masked
  }
}

function listOf(masked: Result<Buffer, string>): Result<readonly Buffer[], string> {
  if (!masked.ok) return masked
  return { ok: true, value: masked.value.length === 0 ? [] : [masked.value] }
}
