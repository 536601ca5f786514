/** What the API answers with: objects, lists, tables, what went wrong, and streams of what changes. */
import type { Result } from '../../../session.ts'
import type { MaskedLabels, TextMask } from '../../http/bodies/text-mask.ts'
import type { BodyTerms } from '../../http/request.ts'
import type { ResponseObjects } from '../analysis/analyse.ts'
import type { ObjectPath } from '../analysis/touches.ts'
import { type JsonNode, parseJson } from '../documents/json.ts'
import { Edits } from './edits.ts'
import { labelOf, member, ObjectMask, pathOf, textOf } from './objects.ts'
import { printedFields } from './printed-fields.ts'

export class ResponseMask {
  readonly #objects: ResponseObjects
  readonly #mask: ObjectMask
  /** There is nothing to look for. */
  readonly passes: boolean

  constructor(objects: ResponseObjects, terms: BodyTerms, labels: MaskedLabels) {
    this.#objects = objects
    this.#mask = new ObjectMask(objects.path[1], terms, labels)
    this.passes = terms.detectors.length === 0 && !this.#mask.fields.any
  }

  /** @returns a document with its masks. */
  document(bytes: Buffer): Result<Buffer, string> {
    const parsed = parseJson(bytes)
    if (!parsed.ok) return { ok: false, error: `the API's answer can't be read: ${parsed.error}` }
    const edits = new Edits()
    this.#answer(parsed.value, edits)
    return { ok: true, value: edits.applyTo(bytes) }
  }

  /** @returns one event of a watch with its masks. */
  event(bytes: Buffer): Result<Buffer, string> {
    const parsed = parseJson(bytes)
    const object = parsed.ok ? member(parsed.value, 'object') : undefined
    if (!object) return { ok: false, error: 'an event of the watch is none' }
    const edits = new Edits()
    this.#answer(object, edits)
    return { ok: true, value: edits.applyTo(bytes) }
  }

  #answer(answer: JsonNode, edits: Edits): void {
    const type = `${textOf(member(answer, 'apiVersion')) ?? ''} ${textOf(member(answer, 'kind')) ?? ''}`
    const items = member(answer, 'items')
    // these are the API server's own: no object of anybody else's is of these versions
    if (type === 'v1 Status') this.#status(answer, edits)
    else if (/^meta\.k8s\.io\/v1(beta1)? Table$/.test(type)) this.#table(answer, edits)
    else if (this.#objects.ofSeveral && items?.type === 'list') {
      for (const item of items.items) this.#mask.mask(item, this.#objects.path, edits)
      this.#mask.maskBeside(answer, this.#objects.path, edits)
    } else this.#mask.mask(answer, this.#objects.path, edits)
  }

  /** What went wrong is said with the values that were wrong. */
  #status(status: JsonNode, edits: Edits): void {
    const { path } = this.#objects
    const mayQuote = textOf(member(status, 'status')) === 'Failure' && this.#mask.fields.mayMask(path, [])
    const causes = member(status, 'details', 'causes')
    const texts = [
      member(status, 'message'),
      ...(causes?.type === 'list' ? causes.items.map((cause) => member(cause, 'message')) : []),
    ]
    const code = member(status, 'code')
    // these are about whether one may, or whether it is there
    const saysNothing =
      code?.type === 'scalar' && /^(401|403|404|405|406|409|410|415|429|5..)$/.test(code.text)
    for (const text of texts) {
      if (!text) continue
      if (mayQuote && !saysNothing) this.#mask.redact(text, labelOf(path[1], ['message']), edits)
      else this.#mask.detected(text, labelOf(path[1], ['message']), edits)
    }
  }

  #table(table: JsonNode, edits: Edits): void {
    const columns = member(table, 'columnDefinitions')
    const names =
      columns?.type === 'list' ? columns.items.map((column) => textOf(member(column, 'name')) ?? '') : []
    const rows = member(table, 'rows')
    if (rows?.type === 'list') for (const row of rows.items) this.#row(row, names, edits)
  }

  #row(row: JsonNode, columns: readonly string[], edits: Edits): void {
    const object = member(row, 'object')
    const { path } = this.#objects
    if (object?.type === 'object') this.#mask.mask(object, path, edits)
    const cells = member(row, 'cells')
    if (cells?.type !== 'list') return
    const ofRow = object?.type === 'object' ? pathOf(object, path) : path
    const hidden = this.#showsMasked(ofRow)
    cells.items.forEach((cell, index) => {
      const column = columns[index] ?? ''
      const label = labelOf(path[1], ['table', column])
      if (!hidden || identifying.has(column)) this.#mask.detected(cell, label, edits)
      else if (cell.type === 'string') this.#mask.redact(cell, label, edits)
      else this.#mask.blank(cell, label, edits)
    })
  }

  /** Whether the columns of a table may show something that is masked: what they are made of, only the API server knows. */
  #showsMasked(path: ObjectPath): boolean {
    const { fields } = this.#mask
    if (!this.#objects.isBuiltin) return fields.mayMask(path, [])
    return printedFields.some((field) => fields.mayMask(path, field))
  }
}

/** Columns that every table has, of what isn't hidden in any other place. */
const identifying = new Set(['Name', 'Namespace', 'Age', 'Created At'])

/** Most of one answer that is held to be masked; a longer one is refused, and can be had in pages. */
const longestAnswer = 32 * 1024 * 1024
const longestEvent = 8 * 1024 * 1024

/** One document. */
export class DocumentMask implements TextMask {
  readonly #response: ResponseMask
  readonly #chunks: Buffer[] = []
  #length = 0

  constructor(response: ResponseMask) {
    this.#response = response
  }

  push(chunk: Buffer): Result<Buffer, string> {
    if (this.#response.passes) return { ok: true, value: Buffer.from(chunk) }
    this.#length += chunk.length
    if (this.#length > longestAnswer)
      return { ok: false, error: 'the answer is too long to be masked; ask for pages, with limit=500' }
    this.#chunks.push(Buffer.from(chunk))
    return { ok: true, value: empty }
  }

  end(): Result<Buffer, string> {
    return this.#response.passes
      ? { ok: true, value: empty }
      : this.#response.document(Buffer.concat(this.#chunks))
  }
}

/** One event in each line. */
export class WatchMask implements TextMask {
  readonly #response: ResponseMask
  #rest: Buffer = empty

  constructor(response: ResponseMask) {
    this.#response = response
  }

  push(chunk: Buffer): Result<Buffer, string> {
    if (this.#response.passes) return { ok: true, value: Buffer.from(chunk) }
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    const masked: Buffer[] = []
    let from = 0
    for (let end = bytes.indexOf(lineFeed); end >= 0; end = bytes.indexOf(lineFeed, from)) {
      const event = this.#response.event(bytes.subarray(from, end))
      if (!event.ok) return event
      masked.push(event.value, newLine)
      from = end + 1
    }
    this.#rest = Buffer.from(bytes.subarray(from))
    if (this.#rest.length > longestEvent) return { ok: false, error: 'an event of the watch is too long' }
    return { ok: true, value: Buffer.concat(masked) }
  }

  end(): Result<Buffer, string> {
    return this.#rest.length === 0 ? { ok: true, value: empty } : this.#response.event(this.#rest)
  }
}

const empty = Buffer.alloc(0)
const newLine = Buffer.from('\n')
const lineFeed = 0x0a
