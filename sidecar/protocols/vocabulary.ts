/** The words of the protocols that are spoken: what the rules of policies can be about. */
import { httpActions } from './http/analysis/actions.ts'
import { bodyFacts } from './http/analysis/body-fields.ts'
import { httpFacts } from './http/analysis/facts.ts'
import { graphqlActions, graphqlFacts } from './http/analysis/graphql/analysis.ts'
import { grpcActions, grpcFacts } from './http/analysis/grpc/analysis.ts'
import { mcpActions } from './http/analysis/mcp/actions.ts'
import { mcpFacts } from './http/analysis/mcp/analysis.ts'
import { openApiFacts } from './http/analysis/openapi/analysis.ts'
import { baselineKubernetesActions, kubernetesActions } from './kubernetes/analysis/actions.ts'
import { kubernetesFacts } from './kubernetes/analysis/facts.ts'
import { baselineSqlActions, columnSqlActions, sqlActions } from './postgresql/analysis/actions.ts'
import { sqlFacts } from './postgresql/analysis/facts.ts'
import { shellFacts } from './shell/facts.ts'

export interface Vocabulary {
  readonly actions: readonly string[]
  /** Those of what is spoken by requests of HTTP: `*` stands for what a system itself gives names to. */
  readonly spokenByRequests: readonly string[]
  /** Families of these in which systems may have actions of their own. */
  readonly extended: readonly string[]
  /** Those among them that need no allow rule. */
  readonly baseline: readonly string[]
  /** Those among them that are about parts of objects. */
  readonly aboutParts: readonly string[]
  /** What conditions may ask of a command, by protocol family. */
  readonly facts: Readonly<Record<string, readonly string[]>>
}

export const vocabulary: Vocabulary = {
  actions: [...Object.keys(sqlActions), ...Object.keys(httpActions), ...Object.keys(kubernetesActions)],
  spokenByRequests: [...graphqlActions, ...grpcActions, ...mcpActions, 'openapi:*'],
  extended: ['mcp'],
  baseline: [...baselineSqlActions, ...baselineKubernetesActions],
  aboutParts: columnSqlActions,
  facts: {
    sql: Object.keys(sqlFacts),
    http: Object.keys(httpFacts),
    graphql: Object.keys(graphqlFacts),
    grpc: Object.keys(grpcFacts),
    mcp: Object.keys(mcpFacts),
    openapi: Object.keys(openApiFacts),
    body: Object.keys(bodyFacts),
    k8s: Object.keys(kubernetesFacts),
    shell: Object.keys(shellFacts),
  },
}
