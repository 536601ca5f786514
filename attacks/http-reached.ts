/** Requests that reached a target, held against what none may ever be about. */
import type { Reached } from '../test/http-shop.ts'

/** As the most lenient of servers reads it. */
function readLeniently(url: string): string {
  let path = (url.split(/[?#]/)[0] ?? '').replace(/^[a-z]+:\/\/[^/]*/, '')
  for (let times = 0; times < 6; times++) path = unescape(path)
  path = path
    .normalize('NFKC')
    .toLowerCase()
    .replaceAll('\\', '/')
    .replaceAll(/;[^/]*/g, '')
    .replaceAll(/\0.*/gs, '')
  return new URL(`http://host/${path.replace(/^\/+/, '')}`).pathname.replaceAll(/\/+/g, '/')
}

/** What of a request must never reach a target. */
export function wrongWith({ method, url, headers }: Reached): string | undefined {
  const path = readLeniently(url)
  if (/^\/shop\.v1\.orders\/delete(?![a-z])/.test(path)) return `it calls what is denied: ${url}`
  if (/^\/admin(?![a-z])/.test(path)) return `it is about /admin: ${url}`
  if (url.startsWith('/smuggled')) return 'it was smuggled in'
  const all = headers.join('\n')
  if (
    /delete/i.test(method) ||
    /((^|\n)x[-_](http[-_])?method([-_]override)?\n|_method=)delete/i.test(`${all}\n${url}`)
  )
    return 'it deletes'
  if (/agents-own/.test(all)) return 'it has the credential of the agent'
  if (/evil\.example/.test(all)) return 'it is about another host'
  if (/x-smuggled|original.url|rewrite.url/i.test(all)) return 'it has a header of another request'
  const own = headers.filter((_, index) => index % 2 === 0).filter((name) => /^authorization$/i.test(name))
  if (own.length !== 1 || !all.includes('Bearer the-secret')) return 'it has not the credential of the role'
  return undefined
}
