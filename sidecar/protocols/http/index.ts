import { meaningOf } from './analysis/of-target.ts'
import { openBodyMask } from './bodies/open.ts'
import { sayProblem } from './exchange/problems.ts'
import { httpProtocol } from './exchange/serve.ts'

/** Any HTTP API: requests by method and path. */
export const http = httpProtocol({
  meaningOf: ({ target }) => meaningOf(target.http),
  openBodyMask,
  kind: { type: 'http', say: sayProblem, root: ['$'] },
})
