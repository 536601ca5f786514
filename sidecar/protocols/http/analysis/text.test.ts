import assert from 'node:assert/strict'
import { HttpMeaning } from './meaning.ts'
import { commandOfText } from './text.ts'

const meaning = new HttpMeaning([])

/** What a text is decided on, in words. */
function touched(text: string): string[] | string {
  const command = commandOfText(text, meaning)
  return command.ok
    ? command.value.touches
        .filter(({ origin }) => origin === 'direct')
        .map(({ action, object }) => `${action} /${object.path.join('/')}`)
    : command.error
}

describe('a request as people write it', () => {
  it('is understood as it is when it comes over the network', () => {
    assert.deepEqual(touched('GET /%75sers?a=b'), ['http:read /users'])
    assert.deepEqual(touched('DELETE /users/1\n'), ['http:delete /users/1'])
    assert.deepEqual(touched('DELETE /users/1 HTTP/1.1\r\nHost: shop\r\n\r\n'), ['http:delete /users/1'])
    assert.deepEqual(touched('POST /users/1\nX-HTTP-Method-Override: DELETE'), [
      'http:write /users/1',
      'http:delete /users/1',
    ])
    assert.deepEqual(touched('GET /socket\nUpgrade: websocket'), [
      'http:read /socket',
      'http:upgrade /socket',
    ])
    assert.deepEqual(touched('POST /users\nContent-Type: application/json\n\n{"a": 1}'), [
      'http:write /users',
    ])
  })

  it('is refused in words where the gateway would, or nobody could tell what it is', () => {
    assert.match(String(touched('GET /x/../admin')), /dot segment/)
    assert.match(String(touched('get /users')), /method and path/)
    assert.match(String(touched('GET /users of mine')), /method and path/)
    assert.match(String(touched('/users')), /method and path/)
    assert.match(String(touched('GET /users\nnonsense')), /no header/)
  })
})
