/** The keys of a request that deletes many objects: https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html */
import { SaxesParser } from 'saxes'
import type { Result } from '../../../../session.ts'
import { headerOf } from '../../head/head.ts'
import type { HttpRequest } from '../../request.ts'

/** As long as a body that is signed may be. */
export const maximumDeletion = 1024 * 1024

/** What may stand in what. */
const children: Readonly<Record<string, readonly string[]>> = {
  '': ['Delete'],
  Delete: ['Object', 'Quiet'],
  Object: ['Key', 'VersionId', 'ETag', 'LastModifiedTime', 'Size'],
}

/** @returns why the keys are not known, in words. */
export function deletedKeys({ headers, body }: HttpRequest): Result<readonly string[], string> {
  if (!body) return unknown('it has no body')
  if (headerOf(headers, 'content-encoding') !== undefined) return unknown('it is compressed')
  try {
    return { ok: true, value: read(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body)) }
  } catch (error) {
    return unknown((error as Error).message)
  }
}

function unknown(why: string): Result<never, string> {
  return { ok: false, error: `what is to be deleted is not known: ${why}` }
}

/** @throws Error of the parser's, and for all that readers differ in. */
function read(text: string): readonly string[] {
  const parser = new SaxesParser({ fragment: false })
  const within: string[] = []
  const keys: string[] = []
  let keysOfObject = 0
  let value = ''
  const refuse = (message: string): never => {
    throw new Error(message)
  }
  parser.on('error', (error) => {
    throw error
  })
  parser.on('doctype', () => refuse('there is a DOCTYPE'))
  parser.on('processinginstruction', () => refuse('there is an instruction'))
  parser.on('xmldecl', ({ encoding = 'UTF-8' }) => {
    if (encoding.toUpperCase() !== 'UTF-8') refuse('it is not in UTF-8')
  })
  parser.on('opentag', ({ name, attributes }) => {
    if (!children[within.at(-1) ?? '']?.includes(name)) refuse(`there is an element ${name.slice(0, 64)}`)
    if (Object.keys(attributes).some((attribute) => attribute !== 'xmlns')) refuse('there are attributes')
    within.push(name)
    value = ''
    if (name === 'Object') keysOfObject = 0
  })
  const take = (part: string): void => {
    const isLeaf = children[within.at(-1) ?? ''] === undefined
    if (isLeaf) value += part
    else if (part.trim() !== '') refuse('there is text between elements')
  }
  parser.on('text', take)
  parser.on('cdata', take)
  // to some readers it parts a text in two
  parser.on('comment', () => refuse('there is a comment'))
  parser.on('closetag', ({ name }) => {
    within.pop()
    if (name === 'Object' && keysOfObject !== 1) refuse('an object has one key')
    if (name !== 'Key') return
    if (value === '' || value !== value.trim()) refuse('a key is empty, or has space around it')
    keysOfObject++
    keys.push(value)
  })
  parser.write(text).close()
  return keys
}
