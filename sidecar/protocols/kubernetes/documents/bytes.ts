/** Which fields hold bytes, in base64. */

/** @param kind of the object, as rules name it. */
export function holdsBytes(kind: string, [first, ...rest]: readonly string[]): boolean {
  return (
    rest.length === 1 &&
    ((kind === 'secrets' && first === 'data') || (kind === 'configmaps' && first === 'binaryData'))
  )
}
