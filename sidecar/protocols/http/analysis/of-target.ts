/** How a target's manifest says that its requests are to be understood. */
import type { HttpTarget, OpenApiSource, Result } from '../../../session.ts'
import { openBodyMask } from '../bodies/open.ts'
import type { OpenBodyMask, RequestAnalysis, RequestHead } from '../request.ts'
import { AwsAnalysis, type AwsService } from './aws/analysis.ts'
import { BodyFieldsAnalysis } from './body-fields.ts'
import { GraphqlAnalysis } from './graphql/analysis.ts'
import { openGraphqlMask } from './graphql/answer.ts'
import { GrpcAnalysis } from './grpc/analysis.ts'
import { McpAnalysis } from './mcp/analysis.ts'
import { openMcpMask } from './mcp/answer.ts'
import { McpConversation } from './mcp/conversation.ts'
import { HttpMeaning } from './meaning.ts'
import { OpenApiAnalysis } from './openapi/analysis.ts'
import { type OpenApiDocument, readOpenApi } from './openapi/document.ts'

/** A few of them stand for all connections. */
const known = new Map<string, HttpMeaning>()
const maximumKnown = 100
/** A document is read once for all that a configuration asks of it, */
const documents = new WeakMap<OpenApiSource, Result<OpenApiDocument, string>>()
/** and the latest ones are known again in the next configuration. */
const documentsByText = new Map<string, Result<OpenApiDocument, string>>()
const maximumDocuments = 100

/** Found again by every request of a connection. */
const knownByTarget = new WeakMap<HttpTarget, HttpMeaning>()

export function meaningOf(target: HttpTarget): HttpMeaning {
  const before = knownByTarget.get(target)
  if (before) return before
  const meaning = sharedMeaning(target)
  knownByTarget.set(target, meaning)
  return meaning
}

function sharedMeaning(target: HttpTarget): HttpMeaning {
  const { host, graphql, grpc, mcp, readBodies, authentication } = target
  const aws = authentication.as === 'aws' ? { service: authentication.service, host } : undefined
  const openapi = target.openapi === undefined ? undefined : validOpenApi(target.openapi)
  const meanings = openapi ? meaningsOf(openapi) : known
  const key = JSON.stringify([graphql, grpc, mcp, readBodies, aws])
  let meaning = meanings.get(key)
  if (!meaning) {
    if (meanings.size >= maximumKnown) meanings.clear()
    meaning = makeMeaning({ graphql, grpc, mcp, readBodies, aws, openapi })
    meanings.set(key, meaning)
  }
  return meaning
}

/** No configuration with another one comes into force. */
function validOpenApi(source: OpenApiSource): OpenApiDocument {
  const document = openApiOf(source)
  if (!document.ok) throw new Error(document.error)
  return document.value
}

/** @returns why it can't be gone by, in words. */
export function openApiOf(source: OpenApiSource): Result<OpenApiDocument, string> {
  const before = documents.get(source)
  if (before) return before
  const { document: text } = source
  const read = documentsByText.get(text) ?? readOpenApi(text)
  documents.set(source, read)
  documentsByText.delete(text)
  documentsByText.set(text, read)
  const [oldest] = documentsByText.keys()
  if (oldest !== undefined && documentsByText.size > maximumDocuments) documentsByText.delete(oldest)
  return read
}

const knownByDocument = new WeakMap<OpenApiDocument, Map<string, HttpMeaning>>()

function meaningsOf(document: OpenApiDocument): Map<string, HttpMeaning> {
  const meanings = knownByDocument.get(document) ?? new Map<string, HttpMeaning>()
  knownByDocument.set(document, meanings)
  return meanings
}

/** Whether a request is below a path at which gRPC is served. */
export function servesGrpc(target: HttpTarget | undefined, head: RequestHead): boolean {
  return new GrpcAnalysis(target?.grpc ?? []).needs(head) !== undefined
}

interface Served extends Omit<HttpTarget, 'host' | 'authentication' | 'openapi'> {
  readonly aws: AwsService | undefined
  readonly openapi: OpenApiDocument | undefined
}

function makeMeaning({ graphql, grpc, mcp, readBodies, aws, openapi }: Served): HttpMeaning {
  const asGraphql = new GraphqlAnalysis(graphql)
  const asMcp = new McpAnalysis(mcp)
  const analyses: readonly RequestAnalysis[] = [
    ...(graphql.length > 0 ? [asGraphql] : []),
    ...(grpc.length > 0 ? [new GrpcAnalysis(grpc)] : []),
    ...(mcp.length > 0 ? [asMcp] : []),
    ...(aws ? [new AwsAnalysis(aws)] : []),
    ...(openapi ? [new OpenApiAnalysis(openapi)] : []),
    ...(readBodies ? [new BodyFieldsAnalysis()] : []),
  ]
  const readsAnswer = (head: RequestHead): boolean => asMcp.needs(head) !== undefined
  const openMask: OpenBodyMask = (request, response, terms) => {
    if (asGraphql.needs(request) !== undefined) return openGraphqlMask(request, response, terms)
    if (readsAnswer(request))
      return openMcpMask(request, response, terms, (asked) => meaning.commandOf(asked, false))
    return openBodyMask(request, response, terms)
  }
  const meaning = new HttpMeaning(analyses, {
    openBodyMask: openMask,
    readsAnswer,
    conversationOf: (request) => (readsAnswer(request) ? new McpConversation(request) : undefined),
  })
  return meaning
}
