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

/** How a request stands, by a judgement that was made elsewhere; without one it is not there any more. */
export interface Standing {
  readonly name: string
  readonly request: ApprovalRequest | undefined
}

export interface ApprovalStore extends AsyncDisposable {
  /** Requests that were open when an earlier process ended. */
  load(): Promise<readonly ApprovalRequest[]>
  /** What people do from now on: to be judged here, or judged already. */
  subscribe(attempted: (attempt: Attempt) => void, stands: (standing: Standing) => void): void
  /** Whether this process is the one to tell of a request. Of a store that others share it is told of theirs as well. */
  isOwn(request: ApprovalRequest): boolean
  /** Who asks, as approvers are named, by the UID of the process; undefined where that says nothing of approvers. */
  asker(uid: number | undefined): Promise<string | undefined>
  /** Writes a new request. @returns it as it was written. @throws the system's error. */
  add(request: ApprovalRequest): Promise<ApprovalRequest>
  /**
   * Writes that an approval is used, which happens once.
   *
   * @param signal gives up: then it may be used, by nobody.
   * @returns whether it was this use. @throws the system's error.
   */
  use(request: ApprovalRequest, signal: AbortSignal): Promise<boolean>
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
