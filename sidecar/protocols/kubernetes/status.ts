/** What the gateway says itself, as clients of the API expect it: https://kubernetes.io/docs/reference/using-api/api-concepts/ */
import type { Say } from '../http/exchange/problems.ts'

const reasons = new Map([
  [400, 'BadRequest'],
  [401, 'Unauthorized'],
  [403, 'Forbidden'],
  [405, 'MethodNotAllowed'],
  [406, 'NotAcceptable'],
  [409, 'Conflict'],
  [413, 'RequestEntityTooLarge'],
  [415, 'UnsupportedMediaType'],
  [429, 'TooManyRequests'],
  [504, 'Timeout'],
])

/** kubectl prints the message alone, so all is in it. */
export const sayStatus: Say = ({ kind, status, detail, hint, reference, policy, rule, approval }) => {
  const message = [detail, hint, `Reference ${reference}.`]
    .filter((part) => part !== undefined)
    .map((part) => (/[.!?]$/.test(part) ? part : `${part}.`))
    .join(' ')
  const causes = Object.entries({ kind, reference, policy, rule, approval }).flatMap(([field, value]) =>
    value === undefined ? [] : [{ reason: 'Firebreak', field: `firebreak.dev/${field}`, message: value }],
  )
  const body = {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message,
    reason: reasons.get(status) ?? 'ServiceUnavailable',
    details: { causes },
    code: status,
  }
  return { contentType: 'application/json', body: Buffer.from(JSON.stringify(body)) }
}
