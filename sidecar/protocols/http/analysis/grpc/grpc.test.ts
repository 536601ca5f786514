import assert from 'node:assert/strict'
import { HttpMeaning } from '../meaning.ts'
import { commandOfText } from '../text.ts'
import { GrpcAnalysis } from './analysis.ts'

const meaningAt = (...paths: string[]): HttpMeaning => new HttpMeaning([new GrpcAnalysis(paths)])

/** What a request is decided on besides method and path; or that nobody knows. */
function called(text: string, meaning = meaningAt('/shop.v1.Orders')): readonly string[] | 'opaque' {
  const command = commandOfText(text, meaning)
  assert.ok(command.ok, text)
  const { touches, opaque } = command.value
  if (opaque.length > 0) return 'opaque'
  return touches
    .filter(({ action }) => action.startsWith('grpc:'))
    .flatMap(({ action, also = [] }) => [action, ...also])
}

describe('a call of gRPC', () => {
  it('is an action of its service and method, by its folded name as well', () => {
    assert.deepEqual(called('POST /shop.v1.Orders/Delete\nContent-Type: application/grpc'), [
      'grpc:shop.v1.Orders/Delete',
      'grpc:shop.v1.orders/delete',
    ])
    assert.deepEqual(called('POST /shop.v1.orders/delete'), ['grpc:shop.v1.orders/delete'])
  })

  it('is one in whatever form it asks', () => {
    for (const text of [
      'POST /shop.v1.Orders/Delete\nContent-Type: application/json',
      'POST /shop.v1.Orders/Delete\nContent-Type: application/grpc-web+proto',
      'GET /shop.v1.Orders/Delete?connect=v1&encoding=json&message=%7B%7D',
      'POST /SHOP.V1.ORDERS/DELETE',
      'POST /%73hop.v1.Orders/%44elete',
    ])
      assert.equal(called(text).at(-1), 'grpc:shop.v1.orders/delete', text)
  })

  it('is opaque where it names no method, or may name another one', () => {
    for (const path of [
      '/shop.v1.Orders',
      '/shop.v1.Orders/',
      '/shop.v1.Orders//Delete',
      '//shop.v1.Orders/Delete',
      '/shop.v1.Orders/Delete/',
      '/shop.v1.Orders/Delete;x',
      '/shop.v1.Orders%2FDelete',
      '/shop.v1.Orders/Delete%2FAll',
      '/shop.v1.Orders/%2544elete',
      '/shop.v1.Orders/Delete%20',
      '/shop.v1.Orders/De%C5%82ete',
    ])
      assert.equal(called(`POST ${path}`), 'opaque', path)
  })

  it('is none elsewhere, nor what a browser asks before it', () => {
    for (const text of ['GET /users/1', 'POST /shop.v1.Other/Delete', 'OPTIONS /shop.v1.Orders/Delete'])
      assert.deepEqual(called(text), [])
  })

  it('may be anything that a server does, and stand below a path', () => {
    assert.equal(called('POST /Greeter/Hello', meaningAt('/')).at(0), 'grpc:Greeter/Hello')
    assert.equal(called('POST /api/Greeter/Hello', meaningAt('/api/')).at(0), 'grpc:Greeter/Hello')
    assert.equal(called('GET /healthz', meaningAt('/')), 'opaque')
  })

  it('is seen by conditions', () => {
    const command = commandOfText('POST /shop.v1.Orders/Delete', meaningAt('/'))
    assert.deepEqual(command.ok && command.value.facts.grpc, { service: 'shop.v1.Orders', method: 'Delete' })
  })
})
