/** Numbers, true, false and null: what JSON writes without quotes. */

/** Whether bytes are one of them, as RFC 8259 writes it. */
export function isScalar(bytes: Buffer, start: number, end: number): boolean {
  const first = bytes[start] ?? 0
  if (isDigit(first) || first === 0x2d) return isNumber(bytes, start, end)
  return (
    isWord(bytes, start, end, 'true') ||
    isWord(bytes, start, end, 'null') ||
    isWord(bytes, start, end, 'false')
  )
}

export function isWord(bytes: Buffer, start: number, end: number, word: string): boolean {
  if (end - start !== word.length) return false
  for (let index = 0; index < word.length; index++)
    if (bytes[start + index] !== word.charCodeAt(index)) return false
  return true
}

/** https://www.rfc-editor.org/rfc/rfc8259#section-6 */
function isNumber(bytes: Buffer, start: number, end: number): boolean {
  let at = bytes[start] === 0x2d ? start + 1 : start
  const integer = at
  at = digitsEnd(bytes, at, end)
  if (at === integer || (bytes[integer] === 0x30 && at > integer + 1)) return false
  if (at < end && bytes[at] === 0x2e) {
    const fraction = at + 1
    at = digitsEnd(bytes, fraction, end)
    if (at === fraction) return false
  }
  if (at < end && (bytes[at] === 0x65 || bytes[at] === 0x45)) {
    const sign = bytes[at + 1]
    const exponent = sign === 0x2b || sign === 0x2d ? at + 2 : at + 1
    at = digitsEnd(bytes, exponent, end)
    if (at === exponent) return false
  }
  return at === end
}

function digitsEnd(bytes: Buffer, from: number, end: number): number {
  let at = from
  while (at < end && isDigit(bytes[at] ?? 0)) at++
  return at
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39
}
