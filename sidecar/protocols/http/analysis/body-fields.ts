/** What a request's body says, for the conditions of rules: `command.body.fields.exists(f, f == "user.role=admin")`. */
import type { Fact } from '@firebreak/policy'
import { readBodyFields } from '../bodies/request-fields.ts'
import type { HttpRequest, RequestAnalysis, Understanding } from '../request.ts'

/** What conditions see as `command.body.<name>`. */
export const bodyFacts = {
  fields: 'of JSON, forms and parts, as `path.to.field=value`; empty where there is no body',
  names: 'paths of these fields, each once',
} as const

type BodyFact = keyof typeof bodyFacts

const maximumBodyBytes = 1024 * 1024

export class BodyFieldsAnalysis implements RequestAnalysis {
  /** Any request may have a body, whatever its method. */
  needs(): number {
    return maximumBodyBytes
  }

  /** A body that has no one meaning may say anything. */
  understand(request: HttpRequest): Understanding {
    const read = readBodyFields(request)
    const fields = read.ok
      ? read.value.map(({ path, value }) => [path.join('.'), String(value)] as const)
      : []
    const facts: Record<BodyFact, Fact> = {
      fields: fields.map(([path, value]) => `${path}=${value}`),
      names: [...new Set(fields.map(([path]) => path))],
    }
    return { touches: [], opaque: read.ok ? [] : [read.error], indirectUses: [], facts: { body: facts } }
  }
}
