/** An open request, as this process knows it. */
import type { ApprovalRequest } from '@firebreak/crds'
import { seconds } from '@firebreak/policy'
import { type Clock, Deadline } from '../clock.ts'
import { bindingOfRequest } from './request.ts'

/** One open request. */
export class Entry {
  request: ApprovalRequest
  readonly binding: string
  /** When nobody can decide or use it any more; of one that does not expire, never. */
  readonly lapses: Deadline
  /** Users of the system that ask for it: they can't approve it. */
  readonly askers = new Set<string>()
  /** Of an elevation that was granted. */
  window: Deadline | undefined
  readonly #waiters = new Set<() => void>()

  constructor(request: ApprovalRequest, clock: Clock) {
    const { requestedAt, expiresAt, elevation } = request.spec
    this.request = request
    this.binding = bindingOfRequest(request)
    this.lapses =
      expiresAt === undefined
        ? new Deadline(clock, Number.POSITIVE_INFINITY)
        : until(expiresAt, Date.parse(expiresAt) - Date.parse(requestedAt), clock)
    const { grantedUntil } = request.status ?? {}
    if (elevation && grantedUntil !== undefined)
      this.window = until(grantedUntil, seconds(elevation.duration) * 1_000, clock)
  }

  get name(): string {
    return this.request.metadata.name
  }

  get state(): NonNullable<NonNullable<ApprovalRequest['status']>['state']> {
    return this.request.status?.state ?? 'Pending'
  }

  get awaited(): boolean {
    return this.#waiters.size > 0
  }

  /** Resolves when anything has happened to it, or the signal is aborted. */
  async changed(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return
    const { promise, resolve } = Promise.withResolvers<void>()
    const done = (): void => resolve()
    this.#waiters.add(done)
    signal.addEventListener('abort', done, { once: true })
    try {
      await promise
    } finally {
      this.#waiters.delete(done)
      signal.removeEventListener('abort', done)
    }
  }

  wake(): void {
    for (const resolve of this.#waiters) resolve()
  }
}

/** A moment of the wall clock as a deadline; a clock that was set back while nothing ran adds nothing to the longest span. */
export function until(moment: string, longest: number, clock: Clock): Deadline {
  return new Deadline(clock, Math.min(Date.parse(moment) - clock.wall(), longest))
}
