/** Where approval requests live: files beside a standalone runner, objects of the API in a cluster. */
import type { ApprovalRequest } from '@firebreak/crds'
import type { Approver } from './requirements.ts'

/** Somebody has written to a request. */
export interface Attempt {
  readonly name: string
  /** Undefined: what is there can't be read as a request, or nothing is there any more. */
  readonly after: ApprovalRequest | undefined
  /** What is wrong with what was written, beyond what the rules of a decision say. */
  readonly problem?: string
  readonly by: Approver
  /** The request as it stands, when it was finished already. */
  readonly finished?: ApprovalRequest
}

export interface ApprovalStore extends AsyncDisposable {
  /** Requests that were open when an earlier process ended. */
  load(): Promise<readonly ApprovalRequest[]>
  /** What people do from now on. */
  subscribe(listener: (attempt: Attempt) => void): void
  /**
   * Writes a request as it stands now, over whatever people have made of it. It is on disk when the promise resolves;
   * writes of one request happen in order.
   *
   * @throws the system's error.
   */
  write(request: ApprovalRequest): Promise<void>
}

/** Nothing can happen to a request in such a state any more. */
export function isFinished({ status }: ApprovalRequest): boolean {
  return status?.state !== undefined && status.state !== 'Pending' && status.state !== 'Approved'
}
