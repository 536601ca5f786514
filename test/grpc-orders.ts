/** A service of gRPC whose messages are bytes, as its clients and servers in the tests define it. */
import type { MethodDefinition } from '@grpc/grpc-js'

export const bytes = (value: Buffer): Buffer => value

export const method = (
  name: string,
  requestStream: boolean,
  responseStream: boolean,
): MethodDefinition<Buffer, Buffer> => ({
  path: `/shop.v1.Orders/${name}`,
  requestStream,
  responseStream,
  requestSerialize: bytes,
  requestDeserialize: bytes,
  responseSerialize: bytes,
  responseDeserialize: bytes,
})

export const orders = {
  get: method('Get', false, false),
  delete: method('Delete', false, false),
  list: method('List', false, true),
  upload: method('Upload', true, false),
  chat: method('Chat', true, true),
  wait: method('Wait', false, false),
}
