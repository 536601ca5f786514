/** Where requests are, and how one decides about them. */
import { watch } from 'node:fs'
import type { ApprovalRequest } from '@firebreak/crds'
import {
  type DecisionInput,
  type DecisionResult,
  decideRequest,
  isFinished,
  listRequests,
} from '@firebreak/sidecar'

export interface Requests {
  list(): Promise<readonly ApprovalRequest[]>
  /** Calls back when something may have changed. @param failed when nothing will be told any more. */
  watch(changed: () => void, failed: (error: Error) => void): Disposable
  /** @param request as a person has seen it. */
  decide(request: ApprovalRequest, decision: DecisionInput): Promise<DecisionResult>
}

/** `namespace/name`. */
export function keyOf({ metadata: { namespace, name } }: ApprovalRequest): string {
  return `${namespace}/${name}`
}

/** Those of a runner. @param all finished ones, too. */
export function inDirectory(directory: string, all: boolean): Requests {
  return {
    list: async () => (await listRequests(directory)).filter((request) => all || !isFinished(request)),
    watch(changed, failed) {
      const watcher = watch(directory, changed).on('error', failed)
      return { [Symbol.dispose]: () => watcher.close() }
    },
    decide: ({ metadata }, decision) => decideRequest(directory, metadata.name, decision),
  }
}
