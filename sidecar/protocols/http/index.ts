import { HttpMeaning } from './analysis/meaning.ts'
import { openBodyMask } from './bodies/open.ts'
import { sayProblem } from './exchange/problems.ts'
import { httpProtocol } from './exchange/serve.ts'

export const meaning = new HttpMeaning([])

/** Any HTTP API: requests by method and path. */
export const http = httpProtocol({
  meaningOf: () => meaning,
  openBodyMask,
  kind: { type: 'http', say: sayProblem, root: ['$'] },
})
