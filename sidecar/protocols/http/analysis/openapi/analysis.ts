/**
 * Requests by an OpenAPI document: what method and path do is also called `openapi:deleteUser`. What a server may take the
 * path for instead is found too, so that no rule against an operation is evaded, and none for one is gained.
 */
import type { Fact, Touch } from '@firebreak/policy'
import type { RequestAnalysis, RequestHead, Understanding } from '../../request.ts'
import { methodsOf } from '../meaning.ts'
import type { OpenApiDocument, OpenApiOperation } from './document.ts'
import { loosePaths, Operations } from './operations.ts'

/** What conditions see as `command.openapi.<name>`. */
export const openApiFacts = {
  operations: 'names of the operations that the request may be of; empty where the document has none',
  template: 'of the path, `/users/{id}`; empty where it is not of one alone',
} as const

type OpenApiFact = keyof typeof openApiFacts

export class OpenApiAnalysis implements RequestAnalysis {
  readonly byLine = true
  readonly #operations: Operations

  constructor({ operations }: OpenApiDocument) {
    this.#operations = new Operations(operations)
  }

  needs(): number {
    return 0
  }

  understand(head: RequestHead): Understanding {
    const { segments, otherReadings } = head.path
    const methods = [...methodsOf(head)]
    const own = methods.flatMap((method) => this.#operations.at(method, segments))
    const [operation] = own
    const isOne =
      own.length === 1 &&
      methods.length === 1 &&
      loosePaths(otherReadings).every((reading) => this.#isAlone(operation, head.method, reading))
    const readings = loosePaths([segments, ...otherReadings])
    const possible = new Set([...own, ...this.#operations.near(methods, readings)])
    if (isOne && operation) possible.delete(operation)
    const facts: Record<OpenApiFact, Fact> = {
      operations: [...new Set([...own, ...possible].map(({ name }) => name))],
      template: isOne ? (operation?.template.text ?? '') : '',
    }
    return {
      touches: [...possible].map((of) => impliedTouch(of, head)),
      // which of several it is the server knows: no rule for one of them may let it through
      ...(isOne && operation && { also: [actionOf(operation)] }),
      opaque: [],
      indirectUses: [],
      facts: { openapi: facts },
    }
  }

  /** Whether a path that a server may read instead is of that operation, and of no other one. */
  #isAlone(operation: OpenApiOperation | undefined, method: string, reading: readonly string[]): boolean {
    const found = this.#operations.alike(method, reading)
    return found.length === 1 && found[0] === operation
  }
}

function actionOf({ name }: OpenApiOperation): string {
  return `openapi:${name}`
}

function impliedTouch(operation: OpenApiOperation, { path }: RequestHead): Touch {
  return { action: actionOf(operation), object: { kind: 'path', path: path.segments }, origin: 'implied' }
}
