/** What methods do: the vocabulary of actions on HTTP APIs. */
export const httpActions = {
  'http:read': 'asks for something and changes nothing: GET, HEAD, OPTIONS, QUERY, PROPFIND, REPORT, SEARCH',
  'http:write': 'makes or changes something, or does what the path says: POST, PUT, PATCH',
  'http:delete': 'deletes something: DELETE',
  'http:upgrade':
    'leaves HTTP for another protocol on the same connection, whose bytes nobody looks at: WebSocket',
} as const

export type HttpAction = keyof typeof httpActions

const byMethod: Readonly<Record<string, HttpAction>> = {
  GET: 'http:read',
  HEAD: 'http:read',
  OPTIONS: 'http:read',
  QUERY: 'http:read',
  PROPFIND: 'http:read',
  REPORT: 'http:read',
  SEARCH: 'http:read',
  POST: 'http:write',
  PUT: 'http:write',
  PATCH: 'http:write',
  DELETE: 'http:delete',
}

/** @returns undefined for a method whose meaning isn't known. */
export function actionOf(method: string): HttpAction | undefined {
  return byMethod[method]
}
