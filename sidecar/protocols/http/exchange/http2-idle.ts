/** Connections of clients on which nothing happens. */
import type { Http2Server } from 'node:http2'

/**
 * Ends those that are silent for so long and have no request. A client that waits, for people or for the next event, is silent as well.
 *
 * @param after milliseconds.
 */
export function endIdle(server: Http2Server, after: number): void {
  server.on('session', (session) => {
    let running = 0
    session.on('stream', (stream) => {
      running++
      stream.once('close', () => running--)
    })
    session.setTimeout(after)
    session.on('timeout', () => {
      if (running > 0) session.setTimeout(after)
      else session.destroy()
    })
  })
}
