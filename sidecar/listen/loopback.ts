/** @returns whether a peer can only be on this host. `unix` and undefined are peers without a network address. */
export function isLoopback(address: string | undefined): boolean {
  return (
    address === undefined ||
    address === 'unix' ||
    address === '::1' ||
    address.startsWith('127.') ||
    address.startsWith('::ffff:127.')
  )
}
