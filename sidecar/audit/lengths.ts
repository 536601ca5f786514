/** Lines and entries have an upper size, whatever they are about: what a command holds is cut by what it takes in JSON. */

/** No line of the audit trail is longer, with its end. In bytes, as all here. */
export const maximumLine = 512 * 1024

/** Of the parts of a line that a client or a target chooses. Together they are well below {@link maximumLine}. */
export const lineLengths = {
  text: 128 * 1024,
  parameters: 64 * 1024,
  objects: 64 * 1024,
  opaque: 32 * 1024,
  masked: 32 * 1024,
  message: 8 * 1024,
  code: 64,
} as const

export interface CutText {
  readonly text: string
  /** UTF-16 code units at the end that are not in it; undefined when it is whole. */
  readonly leftOut: number | undefined
}

/** As much of a text from its beginning on as takes no more than so many bytes in JSON. */
export function cutText(text: string, maximum: number): CutText {
  if (text.length <= maximum / mostBytes) return { text, leftOut: undefined }
  let bytes = 0
  for (let at = 0; at < text.length; ) {
    const character = text.codePointAt(at) ?? 0
    bytes += bytesInJson(character)
    if (bytes > maximum) return { text: text.slice(0, at), leftOut: text.length - at }
    at += character > 0xffff ? 2 : 1
  }
  return { text, leftOut: undefined }
}

export interface CutList<Value extends string | null> {
  readonly values: readonly Value[]
  /** Values at the end that are not in it; undefined when all are. */
  readonly leftOut: number | undefined
}

/** As many values from the first on as take no more than so many bytes in JSON. */
export function cutList<Value extends string | null>(
  values: readonly Value[],
  maximum: number,
): CutList<Value> {
  const most = values.reduce((sum, value) => sum + around + mostBytes * (value?.length ?? 1), 0)
  if (most <= maximum) return { values, leftOut: undefined }
  let left = maximum
  for (const [index, value] of values.entries()) {
    const length = lengthInJson(value, left)
    if (length > left) return { values: values.slice(0, index), leftOut: values.length - index }
    left -= length
  }
  return { values, leftOut: undefined }
}

/**
 * A line that would still be too long goes without its longest fields, and names them. What a command holds is cut before;
 * this is for what whoever writes the configuration may make long, such as a list of its problems.
 *
 * @param line without its place in the chain.
 */
export function withinLine(line: string): string {
  if (line.length * 3 <= longestUnlinked || Buffer.byteLength(line) <= longestUnlinked) return line
  const fields = Object.entries(JSON.parse(line) as Record<string, unknown>).map(([name, value]) => ({
    name,
    length: Buffer.byteLength(JSON.stringify({ [name]: value })),
    value,
  }))
  const tooLong: string[] = []
  let length = Buffer.byteLength(line)
  for (const field of fields.toSorted((a, b) => b.length - a.length)) {
    if (length <= longestUnlinked) break
    tooLong.push(field.name)
    length -= field.length
  }
  const kept = fields.filter(({ name }) => !tooLong.includes(name)).map(({ name, value }) => [name, value])
  return `${JSON.stringify({ ...Object.fromEntries(kept), tooLong })}\n`
}

/** Room for the place in the chain, and for the names of what is left out. */
const longestUnlinked = maximumLine - 4 * 1024

/** Of one UTF-16 code unit: `\u0001`. */
const mostBytes = 6
/** The quotes of a value, and its comma. */
const around = 3

/** With its quotes and the comma. @returns no more than it takes to see that it is beyond `enough`. */
function lengthInJson(value: string | null, enough: number): number {
  if (value === null) return 'null,'.length
  if (value.length > enough) return value.length + around
  let bytes = around
  for (const character of value) bytes += bytesInJson(character.codePointAt(0) ?? 0)
  return bytes
}

/** @param character a code point, or half of a surrogate pair that stands alone. */
function bytesInJson(character: number): number {
  if (character < 0x20) return shortEscapes.has(character) ? 2 : mostBytes
  if (character === quote || character === backslash) return 2
  if (character < 0x80) return 1
  if (character < 0x800) return 2
  if (character > 0xffff) return 4
  return character >= 0xd800 && character <= 0xdfff ? mostBytes : 3
}

/** `\b`, `\t`, `\n`, `\f` and `\r`. */
const shortEscapes = new Set([0x08, 0x09, 0x0a, 0x0c, 0x0d])
const quote = 0x22
const backslash = 0x5c
