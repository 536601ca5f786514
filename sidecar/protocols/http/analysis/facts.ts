/** What conditions see as `command.http.<name>`. */
export const httpFacts = {
  method: 'as sent, in upper case',
  path: 'in its one form, `/users/42`; without the query',
  contentType: 'media type of the body in lower case, without its parameters; empty where there is none',
  parameters: 'names of the query, each once',
  query: 'all of the query, as `name=value`, decoded',
  claims:
    'headers by which a trusted proxy says who asks, which don’t pass: `x-remote-user`, `impersonate-user`',
  repeated: 'names that come more than once in the query, of which servers take different ones',
} as const

export type HttpFact = keyof typeof httpFacts
