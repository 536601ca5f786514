/** How a target's manifest says that its requests are to be understood. */
import type { HttpTarget } from '../../../session.ts'
import { openBodyMask } from '../bodies/open.ts'
import type { OpenBodyMask, RequestAnalysis, RequestHead } from '../request.ts'
import { AwsAnalysis } from './aws.ts'
import { BodyFieldsAnalysis } from './body-fields.ts'
import { GraphqlAnalysis } from './graphql/analysis.ts'
import { openGraphqlMask } from './graphql/answer.ts'
import { GrpcAnalysis } from './grpc/analysis.ts'
import { McpAnalysis } from './mcp/analysis.ts'
import { openMcpMask } from './mcp/answer.ts'
import { McpConversation } from './mcp/conversation.ts'
import { HttpMeaning } from './meaning.ts'

/** A few of them stand for all connections. */
const known = new Map<string, HttpMeaning>()
const maximumKnown = 100

export function meaningOf(target: HttpTarget | undefined): HttpMeaning {
  const { graphql = [], grpc = [], mcp = [], readBodies = false, authentication } = target ?? {}
  const isAws = authentication?.as === 'aws'
  const key = JSON.stringify([graphql, grpc, mcp, readBodies, isAws])
  let meaning = known.get(key)
  if (!meaning) {
    if (known.size >= maximumKnown) known.clear()
    meaning = makeMeaning({ graphql, grpc, mcp, readBodies, isAws })
    known.set(key, meaning)
  }
  return meaning
}

/** Whether a request is below a path at which gRPC is served. */
export function servesGrpc(target: HttpTarget | undefined, head: RequestHead): boolean {
  return new GrpcAnalysis(target?.grpc ?? []).needs(head) !== undefined
}

type Served = Omit<HttpTarget, 'authentication'> & { readonly isAws: boolean }

function makeMeaning({ graphql, grpc, mcp, readBodies, isAws }: Served): HttpMeaning {
  const asGraphql = new GraphqlAnalysis(graphql)
  const asMcp = new McpAnalysis(mcp)
  const analyses: readonly RequestAnalysis[] = [
    ...(graphql.length > 0 ? [asGraphql] : []),
    ...(grpc.length > 0 ? [new GrpcAnalysis(grpc)] : []),
    ...(mcp.length > 0 ? [asMcp] : []),
    ...(isAws ? [new AwsAnalysis()] : []),
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
