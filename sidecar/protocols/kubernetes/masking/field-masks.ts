/** Which fields of which objects are masked. */
import { everyName, type FieldMask } from '@firebreak/policy'
import type { MaskOf } from '../../http/request.ts'
import type { ObjectPath } from '../analysis/touches.ts'

/** As deep as rules about fields are looked for where it isn't known what there is. */
const deepest = 12

export class FieldMasks {
  readonly #maskOf: MaskOf
  readonly #kind: string

  /** @param maskOf takes the path of an object and then that of its field. @param kind of the objects, as rules name it. */
  constructor(maskOf: MaskOf, kind: string) {
    this.#maskOf = maskOf
    this.#kind = kind
  }

  maskOf([namespace, kind, name]: ObjectPath, field: readonly string[]): FieldMask | undefined {
    // mostly there is none for the field of any object, which is remembered better than that of each
    const ofAny = this.#maskOf([everyName, this.#kind, everyName, ...field])
    return ofAny && this.#maskOf([namespace, kind, name, ...field])
  }

  /** Whether there may be a mask for the field, or for something in it. */
  mayMask(path: ObjectPath, field: readonly string[]): boolean {
    const below: string[] = [...field]
    while (below.length <= deepest) {
      if (below.length > 0 && this.maskOf(path, below)) return true
      below.push(everyName)
    }
    return false
  }

  /** Whether there may be a mask for anything in objects of the kind. */
  get any(): boolean {
    return this.mayMask([everyName, this.#kind, everyName], [])
  }
}
