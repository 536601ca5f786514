/** Objects of mask rules by which nothing would ever be masked. */
import { compileGlob, type ResourceType, splitName } from '@firebreak/policy'

export interface MaskDoubt {
  readonly severity: 'error' | 'warning'
  readonly message: string
}

/** @param types of the systems that the rule may be about, as far as they are there. */
export function maskDoubt(object: string, types: readonly ResourceType[]): MaskDoubt | undefined {
  if (object.startsWith('/'))
    return {
      severity: 'error',
      message: `${object} is a path, and masks are about fields, as in $.customer.email; a condition can ask for command.http.path`,
    }
  if (types.length === 0 || types.some((type) => canHave(type, object))) return undefined
  return {
    severity: 'warning',
    message: types.includes('http')
      ? `no field of an HTTP API is called ${object}: they are named from the root, as in $.customer.email`
      : `only fields of HTTP APIs are named from the root, as ${object} is; others are as in public.customers.email, and in prod.secrets.db.data`,
  }
}

/** Documents begin at `$`, and nothing else does. */
function canHave(type: ResourceType, object: string): boolean {
  const [first = '*'] = splitName(object).segments
  return type === 'http' ? compileGlob(first)('$') : first !== '$'
}
