import assert from 'node:assert/strict'
import { type Document, nested, objectsIn } from './document.ts'

describe('the objects in a document', () => {
  const named = (name: string, ...more: readonly [string, Document][]): Document =>
    new Map<string, Document>([['name', name], ...more])
  const namesIn = (document: Document): unknown[] =>
    [...objectsIn(document)].map((object) => object.get('name'))

  it('come each before what is in it, and as they stand', () => {
    const inner = [named('b', ['c', named('c')]), [[named('d')], null, 1], 'text']
    assert.deepEqual(namesIn(named('a', ['list', inner], ['e', named('e')])), ['a', 'b', 'c', 'd', 'e'])
    for (const nothing of [null, 1, 'text', []]) assert.deepEqual(namesIn(nothing), [])
  })

  it('are found at any depth', () => {
    const depth = 100_000
    const names = Array.from({ length: depth }, () => 'a')
    assert.equal([...objectsIn(nested(names, 1))].length, depth)
  })
})
