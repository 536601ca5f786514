/** A program that Envoy asks about requests, and that lets all pass as they are. Prints a line when it listens at its argument. */
import { createServer } from 'node:http2'

const [socket] = process.argv.slice(2)
/** Of gRPC: whether it is compressed, and its length. */
const prefix = 5

// Envoy resets a stream when it has no more to ask
const server = createServer({ streamResetBurst: 1_000_000, streamResetRate: 1_000_000 })
server.on('stream', (stream) => {
  stream.respond({ 'content-type': 'application/grpc' }, { waitForTrailers: true })
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
  stream.on('error', () => {})
  let rest: Buffer = Buffer.alloc(0)
  stream.on('data', (chunk: Buffer) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    while (rest.length >= prefix && rest.length >= prefix + rest.readUInt32BE(1)) {
      const end = prefix + rest.readUInt32BE(1)
      stream.write(agreement(rest.subarray(prefix, end)))
      rest = rest.subarray(end)
    }
  })
  stream.on('end', () => stream.end())
})
server.listen(socket, () => console.log('listening'))

/**
 * What a ProcessingRequest is about stands in it as field 2 to 7, and in the ProcessingResponse as the field before.
 * https://www.envoyproxy.io/docs/envoy/latest/api-v3/service/ext_proc/v3/external_processor.proto
 */
function agreement(request: Buffer): Buffer {
  const field = request.readUInt8(0) >> 3
  return Buffer.of(0, 0, 0, 0, 2, ((field - 1) << 3) | 2, 0)
}
