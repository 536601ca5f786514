/** Reads a large result as fast as a client can: frames are counted, nothing is decoded. */
import { once } from 'node:events'
import { connect } from 'node:net'
import type { Address } from '@firebreak/sidecar'
import { query, startupMessage } from '@firebreak/sidecar/protocols/postgresql/codec/encode.ts'
import { FrameReader } from '@firebreak/sidecar/protocols/postgresql/codec/frame-reader.ts'
import { fromServer, serverRules } from '@firebreak/sidecar/protocols/postgresql/codec/types.ts'

export async function bulkRead(
  { host, port }: Address,
  sql: string,
): Promise<{ rows: number; milliseconds: number }> {
  const socket = connect({ host, port })
  await once(socket, 'connect')
  socket.write(
    startupMessage(0, [
      ['user', 'postgres'],
      ['database', 'postgres'],
    ]),
  )
  const reader = new FrameReader(serverRules)
  let rows = 0
  let startedAt = 0
  const done = Promise.withResolvers<number>()
  socket.on('error', done.reject)
  socket.on('data', (chunk: Buffer) => {
    reader.push(chunk)
    for (let result = reader.next(); result === 'frame'; result = reader.next()) {
      if (reader.type === fromServer.dataRow) rows++
      else if (reader.type === fromServer.error)
        done.reject(new Error(reader.buffer.toString('utf8', reader.start, reader.end)))
      else if (reader.type === fromServer.ready) {
        if (startedAt !== 0) return done.resolve(performance.now() - startedAt)
        startedAt = performance.now()
        socket.write(query(sql))
      }
    }
  })
  const milliseconds = await done.promise
  socket.destroy()
  return { rows, milliseconds }
}
