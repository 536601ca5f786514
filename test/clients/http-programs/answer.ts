/** What the server of the programs answers: it takes everything. */
import { gzipSync } from 'node:zlib'
import type { Answer } from '../../http-shop.ts'

const email = 'ada@shop.example'

export const answer: Answer = (request, response, body) => {
  const { method, url = '' } = request
  if (url === '/redirect') response.writeHead(302, { location: '/users' }).end()
  else if (url === '/missing')
    response.writeHead(404, { 'content-type': 'application/json' }).end('{"error": "there is none"}')
  else if (url === '/compressed')
    response
      .writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' })
      .end(gzipSync(JSON.stringify({ text: 'compressed '.repeat(1_000), email })))
  else
    response.writeHead(200, { 'content-type': 'application/json' }).end(
      JSON.stringify({
        method,
        url,
        body: body.length,
        type: request.headers['content-type'],
        email,
      }),
    )
}
