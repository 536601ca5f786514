/** Calls the service of orders by @grpc/grpc-js over TLS, as its programs do by default: `grpc-client.ts HOST:PORT`. */
import { Client, credentials, type MethodDefinition, type ServiceError } from '@grpc/grpc-js'
import { bytes, orders } from '../../../test/grpc-orders.ts'

const [address = ''] = process.argv.slice(2)
const client = new Client(address, credentials.createSsl())
const got = await unary(orders.get)
const stream = client.makeServerStreamRequest(orders.list.path, bytes, bytes, Buffer.from('order'))
const listed = (await Array.fromAsync(stream as AsyncIterable<Buffer>)).map(String)
const deleted = await unary(orders.delete)
client.close()
console.log(JSON.stringify({ got, listed, deleted }))

async function unary({ path }: MethodDefinition<Buffer, Buffer>): Promise<string | object> {
  return await new Promise((resolve) => {
    client.makeUnaryRequest(path, bytes, bytes, Buffer.from('7'), (error: ServiceError | null, value) => {
      resolve(error ? { code: error.code, details: error.details } : String(value))
    })
  })
}
