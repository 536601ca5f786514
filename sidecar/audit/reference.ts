import { randomBytes } from 'node:crypto'

const alphabet = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
const process = encode(randomBytes(6).readUIntBE(0, 5), 8)
let counter = 0

/**
 * A reference in the form of a ULID: 10 characters of time, 8 that tell processes apart, 8 that count. Sortable, unique,
 * and easy to read out. https://github.com/ulid/spec
 */
export function newReference(): string {
  counter = (counter + 1) % 2 ** 40
  return encode(Date.now(), 10) + process + encode(counter, 8)
}

/** Crockford's base 32. */
function encode(value: number, length: number): string {
  let text = ''
  let rest = value
  for (let index = 0; index < length; index++) {
    text = (alphabet[rest % 32] ?? '0') + text
    rest = Math.floor(rest / 32)
  }
  return text
}
