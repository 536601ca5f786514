/** False values that have the form of the true one: same value and key, same result. */

export type Format = 'email' | 'phone' | 'card' | 'ssn'

/** What stays of a value beside its digits; anything else means that it is not of the format. */
const punctuation = /^[0-9 +()./-]*$/
/** Digits that numbers of a format have at least: fewer would be no disguise, and their punctuation most of the value. */
const fewestDigits = { phone: 5, card: 12, ssn: 9 } as const

/**
 * @param random at least 32 bytes that depend on the value and a secret.
 * @returns undefined for a value that is not of the format, of which nothing may be kept.
 */
export function keepFormat(format: Format, value: string, random: Uint8Array): string | undefined {
  if (format !== 'email') {
    const digits = value.replace(/[^0-9]/g, '').length
    if (!punctuation.test(value) || digits < fewestDigits[format]) return undefined
  }
  switch (format) {
    case 'email':
      return `${letters(random, 0, 10)}@${letters(random, 10, 8)}.example`
    case 'phone':
      return replaceDigits(value, (index) => digit(random, index))
    case 'card':
      return withLuhn(replaceDigits(value, (index) => digit(random, index)))
    case 'ssn':
      // area numbers 900 to 999 are never issued, so that no person has the result
      return replaceDigits(value, (index) => (index === 0 ? '9' : digit(random, index)))
  }
}

function letters(random: Uint8Array, from: number, count: number): string {
  return Array.from(random.subarray(from, from + count), (byte) =>
    String.fromCharCode(97 + (byte % 26)),
  ).join('')
}

function digit(random: Uint8Array, index: number): string {
  return String((random[index % random.length] ?? 0) % 10)
}

function replaceDigits(value: string, replacement: (index: number) => string): string {
  let index = 0
  return value.replace(/[0-9]/g, () => replacement(index++))
}

/** Sets the last digit so that the number passes the Luhn check (ISO/IEC 7812-1). */
function withLuhn(value: string): string {
  const last = value.search(/[0-9][^0-9]*$/)
  if (last < 0) return value
  const digits = value.replace(/[^0-9]/g, '')
  const remainder = luhnSum(`${digits.slice(0, -1)}0`) % 10
  return `${value.slice(0, last)}${(10 - remainder) % 10}${value.slice(last + 1)}`
}

/** The Luhn sum of a run of digits; a valid number's is a multiple of ten. */
export function luhnSum(digits: string): number {
  let sum = 0
  for (let index = 0; index < digits.length; index++) {
    const value = digits.charCodeAt(digits.length - 1 - index) - 48
    const doubled = value * 2
    sum += index % 2 === 0 ? value : doubled > 9 ? doubled - 9 : doubled
  }
  return sum
}
