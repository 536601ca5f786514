/** Requests on the command line, as people know them from curl. */
import { readFileSync } from 'node:fs'

export const requestOptions = {
  header: { type: 'string', short: 'H', multiple: true },
  data: { type: 'string', short: 'd' },
} as const

export const requestHelp = `  -H, --header 'NAME: VALUE'   of a request; may be given several times
  -d, --data BODY         of a request; @FILE reads it from a file, and @- from the standard input (JSON, unless a header says otherwise)`

/** @param line the method and path, or - for all of a request in the standard input. @returns a request as it is written in tests. */
export function requestText(
  line: string,
  { header: headers = [], data }: { readonly header?: readonly string[]; readonly data?: string },
): string {
  const head = line === '-' ? readFileSync(0, 'utf8') : line
  if (headers.length === 0 && data === undefined) return head
  const hasType = headers.some((header) => header.toLowerCase().startsWith('content-type:'))
  const type = data === undefined || hasType ? [] : ['content-type: application/json']
  return `${[head, ...headers, ...type].join('\n')}\n\n${data === undefined ? '' : bodyOf(data)}`
}

function bodyOf(data: string): string {
  if (!data.startsWith('@')) return data
  return readFileSync(data === '@-' ? 0 : data.slice(1), 'utf8')
}
