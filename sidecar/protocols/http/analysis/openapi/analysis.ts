/**
 * Requests by an OpenAPI document: what method and path do is also called `openapi:deleteUser`. What a server may take the
 * path for instead is found too, so that no rule against an operation is evaded, and none for one is gained.
 */
import type { Fact, Touch } from '@firebreak/policy'
import type { RequestAnalysis, RequestHead, Understanding } from '../../request.ts'
import { methodsOf } from '../meaning.ts'
import type { OpenApiDocument, OpenApiOperation } from './document.ts'
import { isMoreExact, matchesTemplate } from './template.ts'

/** What conditions see as `command.openapi.<name>`. */
export const openApiFacts = {
  operations: 'names of the operations that the request may be of; empty where the document has none',
  template: 'of the path, `/users/{id}`; empty where it is not of one alone',
} as const

type OpenApiFact = keyof typeof openApiFacts

export class OpenApiAnalysis implements RequestAnalysis {
  readonly byLine = true
  readonly #operations: readonly OpenApiOperation[]

  constructor({ operations }: OpenApiDocument) {
    this.#operations = operations
  }

  needs(): number {
    return 0
  }

  understand(head: RequestHead): Understanding {
    const methods = [...methodsOf(head)]
    const own = methods.flatMap((method) => this.#find(method, head.path.segments))
    const other = methods.flatMap((method) =>
      head.path.otherReadings.flatMap((reading) => this.#find(method, reading)),
    )
    const [operation] = own
    const isOne = own.length === 1 && methods.length === 1
    // which of several it is the server knows: no rule for one of them may let it through
    const implied = new Set(isOne ? other : [...own, ...other])
    const facts: Record<OpenApiFact, Fact> = {
      operations: [...new Set([...own, ...other].map(({ name }) => name))],
      template: isOne ? (operation?.template.text ?? '') : '',
    }
    return {
      touches: [...implied].map((of) => impliedTouch(of, head)),
      ...(isOne && operation && { also: [actionOf(operation)] }),
      opaque: [],
      indirectUses: [],
      facts: { openapi: facts },
    }
  }

  /** @returns what is most exact; several where servers may differ. */
  #find(method: string, path: readonly string[]): OpenApiOperation[] {
    // servers answer HEAD by what they do for GET
    const wanted = method === 'HEAD' && !this.#has('HEAD', path) ? 'GET' : method
    const matching = this.#operations.filter(
      (operation) => operation.method === wanted && matchesTemplate(operation.template, path),
    )
    return matching.filter(({ template }) => !matching.some((other) => isMoreExact(other.template, template)))
  }

  #has(method: string, path: readonly string[]): boolean {
    return this.#operations.some(
      (operation) => operation.method === method && matchesTemplate(operation.template, path),
    )
  }
}

function actionOf({ name }: OpenApiOperation): string {
  return `openapi:${name}`
}

function impliedTouch(operation: OpenApiOperation, { path }: RequestHead): Touch {
  return { action: actionOf(operation), object: { kind: 'path', path: path.segments }, origin: 'implied' }
}
