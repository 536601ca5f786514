/** GraphQL over HTTP: which documents a request holds. https://graphql.github.io/graphql-over-http/draft/ */
import { type DocumentNode, Kind, type OperationDefinitionNode, parse } from 'graphql'
import type { Result } from '../../../../session.ts'
import { isJsonType, requestTypeOf } from '../../bodies/content-type.ts'
import { type JsonValue, parseJson } from '../../bodies/json/parse.ts'
import type { HttpRequest } from '../../request.ts'
import { MemberNames } from '../member-names.ts'

/** One operation that a server is asked to run. */
export interface GraphqlOperation {
  readonly document: DocumentNode
  readonly operation: OperationDefinitionNode
  readonly variables: JsonValue
}

/** What a reader of GraphQL takes without running out of stack; more is there to keep servers busy. */
const maximumTokens = 5_000
const maximumBatch = 50
const members = new MemberNames(['query', 'operationName', 'variables', 'extensions', 'id', 'documentId'])
/** What servers take from the address as well as from the body. */
const parameterNames = new Set([
  'query',
  'operationname',
  'variables',
  'extensions',
  'id',
  'documentid',
  'hash',
])

/** @returns all that the request asks for; or why that can't be seen, in words. */
export function readOperations(request: HttpRequest): Result<readonly GraphqlOperation[], string> {
  const messages = request.method === 'GET' ? readParameters(request) : readBody(request)
  if (!messages.ok) return messages
  const operations: GraphqlOperation[] = []
  for (const message of messages.value) {
    const operation = readMessage(message)
    if (!operation.ok) return operation
    operations.push(operation.value)
  }
  return { ok: true, value: operations }
}

function unseen(error: string): Result<never, string> {
  return { ok: false, error }
}

function readParameters({ parameters, body }: HttpRequest): Result<readonly JsonValue[], string> {
  // some servers read the body whatever the method
  if (body && body.length > 0) return unseen('the GraphQL request is in the address and in the body')
  const values = new Map<string, JsonValue>()
  for (const { name, value } of parameters) {
    if (values.has(name)) return unseen(`the parameter ${name} comes twice`)
    values.set(name, value)
  }
  const variables = values.get('variables')
  if (typeof variables === 'string') {
    const parsed = parseJson(Buffer.from(variables))
    if (!parsed.ok) return parsed
    values.set('variables', parsed.value)
  }
  return { ok: true, value: [values] }
}

function readBody(request: HttpRequest): Result<readonly JsonValue[], string> {
  if (request.parameters.some(({ name }) => parameterNames.has(name.toLowerCase())))
    return unseen('the GraphQL request is in the address and in the body')
  const type = requestTypeOf(request.headers)
  if (!type.ok) return type
  const { mediaType } = type.value
  const body = request.body ?? Buffer.alloc(0)
  if (mediaType === 'application/graphql') return { ok: true, value: [new Map([['query', body.toString()]])] }
  if (!isJsonType(mediaType)) return unseen('the GraphQL request is not in JSON')
  const parsed = parseJson(body)
  if (!parsed.ok) return parsed
  const messages = Array.isArray(parsed.value) ? (parsed.value as readonly JsonValue[]) : [parsed.value]
  return messages.length > maximumBatch || messages.length === 0
    ? unseen('the batch of GraphQL requests is empty or too large')
    : { ok: true, value: messages }
}

function readMessage(message: JsonValue): Result<GraphqlOperation, string> {
  if (!(message instanceof Map)) return unseen('the GraphQL request is none')
  const given = message as ReadonlyMap<string, JsonValue>
  const disguised = members.inOtherLetters(given)
  if (disguised !== undefined) return unseen(`the GraphQL request has ${disguised} in other letters`)
  const text = given.get('query')
  // a document that only the server knows
  if (typeof text !== 'string') return unseen('the GraphQL document is not in the request')
  const document = readDocument(text)
  if (!document) return unseen('the GraphQL document can’t be read')
  const name = given.get('operationName') ?? ''
  const operations = document.definitions.filter(
    (definition) => definition.kind === Kind.OPERATION_DEFINITION,
  )
  const [operation, other] = operations.filter((candidate) => name === '' || candidate.name?.value === name)
  if (!operation || other) return unseen('the GraphQL document does not say which of its operations is meant')
  return { ok: true, value: { document, operation, variables: given.get('variables') ?? null } }
}

function readDocument(text: string): DocumentNode | undefined {
  try {
    return parse(text, { maxTokens: maximumTokens, noLocation: true })
  } catch {
    return undefined
  }
}
