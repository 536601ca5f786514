/** What a server may take the address of a resource for: it is any text, which servers make a path or a name of. */

export interface UriReadings {
  /** Beside the address as it stands. */
  readonly others: readonly string[]
  /** Whether it leads up from where it begins, to whoever follows it. */
  readonly climbs: boolean
}

/** More often than anybody decodes. */
const maximumDecodings = 4

export function readingsOf(uri: string): UriReadings {
  const decoded = [uri]
  for (let times = 0; times < maximumDecodings; times++) decoded.push(decode(decoded.at(-1) ?? ''))
  const lenient = decoded.map(readLeniently)
  return {
    others: [...new Set([...decoded, ...lenient])].filter((text) => text !== uri && text !== ''),
    climbs: lenient.some((text) =>
      text.split(/[/?#;]/).some((segment) => segment === '.' || segment === '..'),
    ),
  }
}

/** As a server does that doesn't mind what is no encoding. */
function decode(text: string): string {
  return text.replaceAll(/(%[0-9a-f]{2})+/gi, (encoded) =>
    Buffer.from(encoded.replaceAll('%', ''), 'hex').toString(),
  )
}

function readLeniently(text: string): string {
  const plain = text
    .normalize('NFKC')
    .toLowerCase()
    .replaceAll(/[\p{C}\p{Z}]/gu, '')
    .replaceAll('\\', '/')
  const scheme = /^[a-z][a-z0-9+.-]*:\/{0,3}/.exec(plain)?.[0] ?? ''
  const rest = plain.slice(scheme.length).replaceAll(/\/{2,}/g, '/')
  return scheme + (scheme === '' ? rest : rest.replace(/^\//, ''))
}
