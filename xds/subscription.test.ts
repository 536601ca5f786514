import assert from 'node:assert/strict'
import { create, type MessageInitShape } from '@bufbuild/protobuf'
import {
  byName,
  DeltaDiscoveryRequestSchema,
  DeltaSubscription,
  DiscoveryRequestSchema,
  type Resources,
  StateOfTheWorldSubscription,
} from './index.ts'

const typeUrl = 'type.googleapis.com/test'

function resources(...versions: `${string}@${string}`[]): Resources {
  return byName(
    versions.map((text) => {
      const [name = '', version = ''] = text.split('@')
      return { name, version, packed: { typeUrl, value: Buffer.from(text) } }
    }),
  )
}

describe('a delta subscription', () => {
  let subscription: DeltaSubscription
  beforeEach(() => {
    subscription = new DeltaSubscription(typeUrl)
  })
  const receive = (fields: MessageInitShape<typeof DeltaDiscoveryRequestSchema> = {}) =>
    subscription.receive(create(DeltaDiscoveryRequestSchema, { typeUrl, ...fields }))
  const taken = (...versions: `${string}@${string}`[]) => {
    const response = subscription.take(resources(...versions))
    return (
      response && {
        changed: response.resources.map(({ name, version }) => `${name}@${version}`),
        removed: response.removedResources,
        nonce: response.nonce,
      }
    )
  }

  it('sends all at first, and then only what has changed and what is gone', () => {
    receive()
    assert.deepEqual(taken('a@1', 'b@1'), { changed: ['a@1', 'b@1'], removed: [], nonce: '1' })
    assert.equal(taken('a@1', 'b@1'), undefined)
    assert.deepEqual(taken('a@1', 'b@2', 'c@1'), { changed: ['b@2', 'c@1'], removed: [], nonce: '2' })
    assert.deepEqual(taken('b@2', 'c@1'), { changed: [], removed: ['a'], nonce: '3' })
  })

  it('answers a first question even where there is nothing', () => {
    receive()
    assert.deepEqual(taken(), { changed: [], removed: [], nonce: '1' })
    assert.equal(taken(), undefined)
  })

  it('sends a client that comes again only what it has not, and takes away what is gone', () => {
    receive({ initialResourceVersions: { a: '1', b: '1', c: '1' } })
    assert.deepEqual(taken('a@1', 'b@2'), { changed: ['b@2'], removed: ['c'], nonce: '1' })
  })

  it('gives by name what was asked for, says once that there is none, and sends it when there is', () => {
    receive({ resourceNamesSubscribe: ['a', 'b'] })
    assert.deepEqual(taken('a@1', 'c@1'), { changed: ['a@1'], removed: ['b'], nonce: '1' })
    assert.equal(taken('a@1', 'c@1'), undefined)
    assert.deepEqual(taken('a@1', 'b@1', 'c@1')?.changed, ['b@1'])
    receive({ resourceNamesSubscribe: ['c'], resourceNamesUnsubscribe: ['a'] })
    assert.deepEqual(taken('a@2', 'b@1', 'c@1')?.changed, ['c@1'])
    receive({ resourceNamesSubscribe: ['b'] })
    assert.deepEqual(taken('a@2', 'b@1', 'c@1')?.changed, ['b@1'], 'asked for again is sent again')
  })

  it('takes an answer for what was sent last, and for nothing older', () => {
    receive()
    taken('a@1')
    taken('a@2')
    assert.equal(receive({ responseNonce: '1' }), undefined)
    assert.deepEqual(receive({ responseNonce: '2' }), { versions: new Map([['a', '2']]) })
    taken('a@3')
    const refused = receive({ responseNonce: '3', errorDetail: { code: 13, message: 'x'.repeat(600) } })
    assert.equal(refused?.refusal?.length, 500)
    assert.equal(taken('a@3'), undefined, 'what was refused is not sent again unchanged')
    assert.deepEqual(taken('a@4')?.changed, ['a@4'])
  })
})

describe('a state-of-the-world subscription', () => {
  it('sends all with each change, those asked for by name where names were given', () => {
    const subscription = new StateOfTheWorldSubscription(typeUrl)
    const receive = (fields: MessageInitShape<typeof DiscoveryRequestSchema> = {}) =>
      subscription.receive(create(DiscoveryRequestSchema, { typeUrl, ...fields }))
    const taken = (...versions: `${string}@${string}`[]) =>
      subscription.take(resources(...versions))?.resources.map(({ value }) => Buffer.from(value).toString())
    receive()
    assert.deepEqual(taken('a@1', 'b@1'), ['a@1', 'b@1'])
    assert.deepEqual(receive({ responseNonce: '1' }), {
      versions: new Map([
        ['a', '1'],
        ['b', '1'],
      ]),
    })
    assert.equal(taken('a@1', 'b@1'), undefined)
    assert.deepEqual(taken('a@1', 'b@2'), ['a@1', 'b@2'])
    receive({ resourceNames: ['a'], responseNonce: '2' })
    assert.deepEqual(taken('a@1', 'b@2'), ['a@1'])
    assert.equal(taken('a@1', 'b@3'), undefined)
    assert.equal(receive({ responseNonce: '3', errorDetail: { message: 'no' } })?.refusal, 'no')
  })
})
