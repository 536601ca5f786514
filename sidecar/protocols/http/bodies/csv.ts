/**
 * Masks CSV by its header: RFC 4180, with line feeds alone as well. Text stays text: of what a column holds, CSV says
 * nothing. An empty cell is what others call null, and stays.
 */
import { applyMask, type FieldMask, maskDetected } from '@firebreak/policy'
import type { Result } from '../../../session.ts'
import { Output } from '../../output.ts'
import type { BodyTerms } from '../request.ts'
import { type MaskedLabels, maximumValueBytes, type TextMask } from './text-mask.ts'

interface Column {
  readonly name: string
  readonly mask: FieldMask | undefined
}

/** Where in a cell the last byte was. */
type Place = 'start' | 'bare' | 'quoted' | 'quote in quoted'

const comma = 0x2c
const quote = 0x22
const lineFeed = 0x0a
const carriageReturn = 0x0d

export class CsvMask implements TextMask {
  readonly #terms: BodyTerms
  readonly #labels: MaskedLabels
  readonly #output = new Output()
  readonly #cell = new Output()
  #place: Place = 'start'
  #columns: Column[] = []
  #isHeader = true
  #index = 0

  constructor(terms: BodyTerms, labels: MaskedLabels) {
    this.#terms = terms
    this.#labels = labels
  }

  push(chunk: Buffer): Result<Buffer, string> {
    let start = 0
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at] ?? 0
      const isEnd = this.#endsCell(byte)
      if (typeof isEnd === 'string') return { ok: false, error: isEnd }
      if (!isEnd) continue
      const problem = this.#hold(chunk, start, at) ?? this.#cellDone(byte === lineFeed)
      if (problem !== undefined) return { ok: false, error: problem }
      this.#output.copy(chunk, at, at + 1)
      start = at + 1
    }
    const problem = this.#hold(chunk, start, chunk.length)
    return problem === undefined ? { ok: true, value: this.#output.take() } : { ok: false, error: problem }
  }

  end(): Result<Buffer, string> {
    if (this.#place === 'quoted') return { ok: false, error: 'the CSV ends inside of quotes' }
    const problem = this.#cell.length > 0 || this.#index > 0 ? this.#cellDone(true) : undefined
    return problem === undefined ? { ok: true, value: this.#output.take() } : { ok: false, error: problem }
  }

  /** Follows the quotes. @returns whether a byte stands behind a cell, or what is wrong. */
  #endsCell(byte: number): boolean | string {
    const isSeparator = byte === comma || byte === lineFeed
    switch (this.#place) {
      case 'start':
      case 'bare':
        if (isSeparator) return true
        if (byte === quote && this.#place === 'bare') return 'a quote in the CSV stands where none may be'
        this.#place = byte === quote ? 'quoted' : 'bare'
        return false
      case 'quoted':
        if (byte === quote) this.#place = 'quote in quoted'
        return false
      case 'quote in quoted':
        if (isSeparator) return true
        if (byte === quote) this.#place = 'quoted'
        else if (byte !== carriageReturn) return 'a quote in the CSV stands where none may be'
        return false
    }
  }

  #hold(chunk: Buffer, start: number, end: number): string | undefined {
    if (this.#cell.length + end - start > maximumValueBytes) return 'a cell of the CSV is too long'
    this.#cell.copy(chunk, start, end)
    return undefined
  }

  #cellDone(endsRow: boolean): string | undefined {
    const written = this.#cell.take().toString()
    this.#place = 'start'
    const tail = endsRow && written.endsWith('\r') ? '\r' : ''
    const cell = readCell(written.slice(0, written.length - tail.length))
    if (!cell) return 'a quote in the CSV stands where none may be'
    if (!cell.isQuoted && cell.text.includes('\r'))
      return 'a row of the CSV ends in a way that not all read alike'
    const isEmptyRow = endsRow && this.#index === 0 && cell.text === ''
    const problem = this.#isHeader ? this.#nameDone(cell) : isEmptyRow ? undefined : this.#valueProblem()
    if (problem !== undefined) return problem
    const masked = this.#isHeader ? this.#inspect(cell.text) : this.#mask(cell.text)
    this.#output.write(Buffer.from(masked === cell.text ? written : writeCell(masked, cell.isQuoted) + tail))
    this.#index = endsRow ? 0 : this.#index + 1
    if (endsRow) this.#isHeader = false
    return undefined
  }

  #nameDone({ text, isQuoted }: Cell): string | undefined {
    if (this.#terms.masksFields && !isName(text, isQuoted))
      return 'the first line of the CSV names no columns, which masks go by'
    this.#columns.push({ name: text, mask: this.#terms.maskOf([text]) })
    return undefined
  }

  #valueProblem(): string | undefined {
    return this.#index < this.#columns.length
      ? undefined
      : 'a row of the CSV has more cells than there are names'
  }

  #mask(text: string): string {
    const column = this.#columns[this.#index]
    if (!column?.mask) return this.#inspect(text)
    if (text === '') return text
    this.#labels.add(column.name)
    return applyMask(column.mask.strategy, text, this.#terms.maskKey) ?? ''
  }

  #inspect(text: string): string {
    const masked = maskDetected(text, this.#terms.detectors)
    if (masked !== text) this.#labels.add(this.#columns[this.#index]?.name ?? 'header')
    return masked
  }
}

interface Cell {
  readonly text: string
  readonly isQuoted: boolean
}

/** @param written without what ends a row. */
function readCell(written: string): Cell | undefined {
  if (!written.startsWith('"')) return { text: written, isQuoted: false }
  if (!written.endsWith('"')) return undefined
  return { text: written.slice(1, -1).replaceAll('""', '"'), isQuoted: true }
}

function writeCell(text: string, quotes: boolean): string {
  return quotes || /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

/** A number is a value, and what holds another separator isn't separated by commas. */
function isName(name: string, isQuoted: boolean): boolean {
  return name.trim() !== '' && !/^[0-9+.-]+$/.test(name) && (isQuoted || !/[;\t|]/.test(name))
}
