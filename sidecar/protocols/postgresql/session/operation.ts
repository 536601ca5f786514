/** What has been sent to the server and is still to be answered, in order. */

import type { Portal } from './portal.ts'
import type { NameChange, Prepared } from './prepared.ts'
import type { CommandRun } from './run.ts'

export interface Operation {
  readonly kind: 'query' | 'parse' | 'bind' | 'describe' | 'execute' | 'close' | 'sync' | 'function'
  /** The gateway's own: nothing of the answer goes to the client. */
  readonly hidden?: boolean
  /** What the client hears instead of the error that the server is certain to give. */
  readonly refusal?: Buffer
  /** The commands of a query in order, or the one of an execute. */
  runs?: readonly CommandRun[]
  /** How many of the runs are done. */
  done?: number
  /** Of describe: where its result's columns are to be kept. */
  readonly describes?: Prepared | Portal
  /** Of execute. */
  readonly portal?: Portal
  /** Takes the value of a row that the gateway asked for. */
  readonly receive?: (value: string) => void
  /** Of a hidden sync: all answers have been given. */
  readonly settled?: (failed: boolean) => void
  /** Of parse, bind and close. */
  readonly change?: NameChange
  /** Whether the commands change the session's state. */
  readonly hasEffects?: boolean
}

/** A queue that doesn't move its items. */
export class OperationQueue {
  #items: (Operation | undefined)[] = []
  #head = 0

  get head(): Operation | undefined {
    return this.#items[this.#head]
  }

  get length(): number {
    return this.#items.length - this.#head
  }

  push(operation: Operation): void {
    this.#items.push(operation)
  }

  shift(): Operation | undefined {
    const operation = this.#items[this.#head]
    this.#items[this.#head++] = undefined
    if (this.#head === this.#items.length) {
      this.#items.length = 0
      this.#head = 0
    } else if (this.#head > 1024) {
      this.#items = this.#items.slice(this.#head)
      this.#head = 0
    }
    return operation
  }

  /** Whether the answer to such a command is still to come. */
  awaits(isMeant: (run: CommandRun) => boolean): boolean {
    for (const { runs, done } of this)
      if (runs?.slice(done).some((run) => !run.finished && isMeant(run))) return true
    return false
  }

  /** Whether commands of the same pipeline were sent after its first message. */
  pipelineRunsMore(first: Operation): boolean {
    for (const operation of this) {
      if (operation.kind === 'sync') return false
      if (operation !== first && operation.runs) return true
    }
    return false
  }

  /** What may still change among statements and portals. @param failed has no part in it any more. */
  *changes(failed: Operation): Generator<NameChange> {
    for (const operation of this) {
      if (operation === failed) continue
      if (operation.change) yield operation.change
      for (const run of operation.runs?.slice(operation.done) ?? []) yield* run.changes
    }
  }

  /** From the head on. */
  *[Symbol.iterator](): Generator<Operation> {
    for (let index = this.#head; index < this.#items.length; index++) {
      const operation = this.#items[index]
      if (operation) yield operation
    }
  }
}
