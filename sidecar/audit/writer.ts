/** Writes audit lines so that none is lost: in order, with the sender held up rather than the line dropped. */
import { closeSync, existsSync, openSync, write, writeSync } from 'node:fs'

/** Lines that wait to be written may take this much memory before sessions have to wait. */
const maximumPending = 4 * 1024 * 1024
const retryAfter = 250
/** Lines are written together: a write per line would cost more than all the rest. In milliseconds. */
const flushAfter = 10
const flushBeyond = 64 * 1024

export class AuditWriter {
  readonly #path: string | undefined
  #file: number
  /** Takes lines while the sink does not, if policy says so. */
  #spool: number | undefined
  #pending: string[] = []
  #pendingLength = 0
  #writing: Buffer | undefined
  #failing = false
  #waiters: (() => void)[] = []
  #onFailure: (error: Error) => void

  /** @param path of the file; undefined is standard output. @param onFailure is told once per failure, not per line. */
  constructor(path: string | undefined, onFailure: (error: Error) => void) {
    this.#path = path
    this.#file = path === undefined ? 1 : openSync(path, 'a', 0o600)
    this.#onFailure = onFailure
  }

  /** Takes one line. Pino's destination. */
  write(line: string): void {
    this.#pending.push(line)
    this.#pendingLength += line.length
    if (this.#pending.length === 1) setTimeout(() => this.#flush(), flushAfter)
    else if (this.#pendingLength > flushBeyond) this.#flush()
  }

  /** @returns undefined while more can be taken. */
  ready(whenFailing: 'block' | 'spool'): Promise<void> | undefined {
    if (this.#failing && whenFailing === 'spool' && this.#path !== undefined) this.#openSpool()
    const blocked = this.#pendingLength > maximumPending || (this.#failing && this.#spool === undefined)
    return blocked ? new Promise((resolve) => this.#waiters.push(resolve)) : undefined
  }

  /** Writes what is left. @returns how many bytes could not be written. */
  close(): number {
    const rest = Buffer.concat([
      ...(this.#writing ? [this.#writing] : []),
      Buffer.from(this.#pending.join('')),
    ])
    this.#pending = []
    this.#writing = undefined
    let written = 0
    try {
      while (written < rest.length) written += writeSync(this.#spool ?? this.#file, rest, written)
    } catch {
      // said by the number that is returned
    }
    if (this.#path !== undefined) closeSync(this.#file)
    return rest.length - written
  }

  #openSpool(): void {
    if (this.#spool !== undefined) return
    const name = `${this.#path}.spool`
    try {
      this.#spool = openSync(name, 'a', 0o600)
      this.#release()
    } catch (error) {
      this.#onFailure(error instanceof Error ? error : new Error(String(error)))
    }
  }

  #flush(): void {
    if (this.#writing || this.#pending.length === 0) return
    this.#writing = Buffer.from(this.#pending.join(''))
    this.#pending = []
    this.#pendingLength = 0
    this.#writeOn()
  }

  #writeOn(): void {
    const bytes = this.#writing
    if (!bytes) return
    write(this.#spool ?? this.#file, bytes, (error, written) => {
      if (this.#writing !== bytes) return
      if (error) return this.#failed(error)
      if (this.#failing) this.#failing = this.#spool !== undefined
      this.#writing = written < bytes.length ? bytes.subarray(written) : undefined
      if (this.#writing) this.#writeOn()
      else {
        if (this.#pendingLength < maximumPending) this.#release()
        this.#flush()
      }
    })
  }

  #failed(error: Error): void {
    if (!this.#failing) this.#onFailure(error)
    this.#failing = true
    setTimeout(() => {
      if (this.#path !== undefined && !existsSync(this.#path)) this.#reopen()
      this.#writeOn()
    }, retryAfter).unref()
  }

  #reopen(): void {
    try {
      const file = openSync(this.#path ?? '', 'a', 0o600)
      closeSync(this.#file)
      this.#file = file
    } catch {
      // tried again with the next retry
    }
  }

  #release(): void {
    const waiters = this.#waiters
    this.#waiters = []
    for (const resolve of waiters) resolve()
  }
}
