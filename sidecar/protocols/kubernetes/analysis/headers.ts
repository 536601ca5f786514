/** Headers by which somebody would be another than the role's account, or would speak past what is decided. */
import type { Result } from '../../../session.ts'
import type { RequestHead } from '../../http/request.ts'
import { forbidden, malformed, type Refused } from './refusal.ts'

/** These are streams of their own: what is decided is that they begin. */
const upgraded = new Set(['exec', 'attach', 'portforward'])

/** @param subresource of the request; empty where there is none. */
export function headersProblem(
  { headers }: RequestHead,
  subresource: string,
): Result<never, Refused> | undefined {
  for (const [name, value] of headers) {
    if (name.startsWith('impersonate-')) return forbidden('impersonation does not pass: the role is who acts')
    // so a proxy in front of the API server says who asks
    if (name.startsWith('x-remote-')) return forbidden('who asks is not said by headers')
    if (name === 'upgrade' && !upgraded.has(subresource))
      return malformed('only exec, attach and port-forward are upgraded to streams')
    if (name === 'sec-websocket-protocol' && value.toLowerCase().includes('bearer'))
      return forbidden('credentials in the WebSocket protocol do not pass')
  }
  return undefined
}
