import type { HttpTarget } from '../../session.ts'
import { meaningOf } from './analysis/of-target.ts'
import { openBodyMask } from './bodies/open.ts'
import { sayProblem } from './exchange/problems.ts'
import { httpProtocol } from './exchange/serve.ts'

/** Of a resource that has no target now: nothing of it goes anywhere. */
const nowhere: HttpTarget = {
  host: '',
  authentication: { as: 'none' },
  graphql: [],
  grpc: [],
  mcp: [],
  readBodies: false,
}

/** Any HTTP API: requests by method and path. */
export const http = httpProtocol({
  meaningOf: ({ http: target = nowhere }) => meaningOf(target),
  openBodyMask,
  kind: { type: 'http', say: sayProblem, root: ['$'] },
})
