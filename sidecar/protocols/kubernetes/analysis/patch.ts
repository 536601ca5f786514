/** What a patch sets and what it looks at, found in the patch alone. docs/decisions/kubernetes.md says why. */
import type { Result } from '../../../session.ts'
import { at, type Document, nested, textAt } from '../documents/document.ts'
import type { Body } from './body.ts'
import { malformed, type Refused } from './refusal.ts'

export interface Change {
  /** Objects that hold no more than what is set, where it is set. */
  readonly set: readonly Document[]
  /** Fields whose values decide whether the patch succeeds: each shows something of them. */
  readonly compared: readonly (readonly string[])[]
  /** Why what it sets can't be told, in words. */
  readonly opaque: readonly string[]
}

const nothing: Change = { set: [], compared: [], opaque: [] }

export function changeOf(body: Body): Result<Change, Refused> {
  switch (body.kind) {
    case 'none':
      return { ok: true, value: nothing }
    case 'opaque':
      return { ok: true, value: { ...nothing, opaque: [opaqueWords(body)] } }
    case 'object':
      return ofObject(body.value)
    case 'patch':
      return body.patch === 'json' ? ofJsonPatch(body.value) : ofObject(body.value)
  }
}

function opaqueWords({ form, why }: Extract<Body, { kind: 'opaque' }>): string {
  return `what is sent as ${form} isn't looked into${why === undefined ? '' : ` (${why})`}`
}

function ofObject(value: Document): Result<Change, Refused> {
  if (!(value instanceof Map)) return malformed('the body is no object')
  return { ok: true, value: { ...nothing, set: [value] } }
}

/** Of these it says nothing whether they are as expected: clients ask so that they change what they have seen. */
const versions = new Set(['/metadata/resourceVersion', '/metadata/uid', '/metadata/generation'])

/** https://www.rfc-editor.org/rfc/rfc6902 */
function ofJsonPatch(value: Document): Result<Change, Refused> {
  if (!Array.isArray(value)) return malformed('a JSON patch is a list')
  const set: Document[] = []
  const compared: (readonly string[])[] = []
  const opaque: string[] = []
  for (const operation of value as readonly Document[]) {
    const op = textAt(operation, 'op')
    const pointer = textAt(operation, 'path')
    const names = pointer === undefined ? undefined : namesOf(pointer)
    if (op === undefined || pointer === undefined || names === undefined)
      return malformed('an operation of the JSON patch has no op or path')
    const given = at(operation, 'value')
    if (op === 'add' || op === 'replace') {
      if (given === undefined) return malformed(`${op} has no value`)
      set.push(nested(names, given))
    } else if (op === 'remove') set.push(nested(names, null))
    else if (op === 'test') {
      if (versions.has(pointer)) continue
      if (given === undefined || typeof given === 'object')
        opaque.push('a test of the patch compares a whole object')
      else compared.push(names)
    } else if (op === 'copy' || op === 'move')
      opaque.push(`the patch takes what it sets from somewhere else in the object (${op})`)
    else return malformed('the JSON patch has an operation that there is not')
  }
  return { ok: true, value: { set, compared, opaque } }
}

/** https://www.rfc-editor.org/rfc/rfc6901 */
function namesOf(pointer: string): readonly string[] | undefined {
  if (pointer === '') return []
  if (!pointer.startsWith('/') || /~(?![01])/.test(pointer)) return undefined
  return pointer
    .slice(1)
    .split('/')
    .map((name) => name.replaceAll('~1', '/').replaceAll('~0', '~'))
}
