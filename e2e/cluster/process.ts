/** Processes of the test cluster: with a log file each, told apart from later ones that got the same process id. */
import { spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

export interface ProcessOptions {
  readonly name: string
  readonly command: string
  readonly args: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  /** Directory of its log file, which is named after it. */
  readonly logs: string
  /** Whether it goes on when the process that starts it ends. */
  readonly outlivesParent: boolean
}

/** What is written down of a process, so that another process can stop it. */
export interface ProcessRecord {
  readonly options: ProcessOptions
  readonly pid: number
  /** When it started, in the system's own terms. */
  readonly started: string
}

/** A node ends with all that runs on it, which the kernel takes its time for on a busy machine. In milliseconds. */
const killPatience = 60_000

export class ComponentProcess {
  readonly name: string
  readonly log: string
  #record: ProcessRecord

  constructor(record: ProcessRecord) {
    this.#record = record
    this.name = record.options.name
    this.log = join(record.options.logs, `${this.name}.log`)
  }

  static start(options: ProcessOptions): ComponentProcess {
    return new ComponentProcess(spawnProcess(options))
  }

  get record(): ProcessRecord {
    return this.#record
  }

  get pid(): number {
    return this.#record.pid
  }

  get running(): boolean {
    return startOf(this.pid) === this.#record.started
  }

  /** SIGSTOP and SIGCONT pause it and let it go on. */
  signal(signal: NodeJS.Signals): void {
    if (this.running) process.kill(this.pid, signal)
  }

  /** Asks it to end, and after the grace period (milliseconds) makes it. */
  async stop(grace = 5000): Promise<void> {
    this.signal('SIGTERM')
    this.signal('SIGCONT')
    if (!(await this.#ended(grace))) await this.kill()
  }

  /** Ends it at once. */
  async kill(): Promise<void> {
    this.signal('SIGKILL')
    if (!(await this.#ended(killPatience)))
      throw new Error(`${this.name} (process ${this.pid}) can't be ended`)
  }

  /** Starts it again, as it was started. */
  start(): void {
    if (!this.running) this.#record = spawnProcess(this.#record.options)
  }

  /** The last lines of its log. */
  logTail(lines = 20): string {
    return readFileSync(this.log, 'utf8').trimEnd().split('\n').slice(-lines).join('\n')
  }

  async #ended(milliseconds: number): Promise<boolean> {
    const deadline = Date.now() + milliseconds
    while (this.running && Date.now() < deadline) await delay(20)
    return !this.running
  }
}

function spawnProcess(options: ProcessOptions): ProcessRecord {
  const log = openSync(join(options.logs, `${options.name}.log`), 'a', 0o600)
  try {
    const child = spawn(options.command, options.args, {
      stdio: ['ignore', log, log],
      // a group of its own: Ctrl-C in the terminal is for the test, which then stops what it started
      detached: true,
      env: {
        ...process.env,
        ...options.environment,
        ...(options.outlivesParent ? {} : { FIREBREAK_END_WITH_PARENT: 'true' }),
      },
    })
    if (child.pid === undefined) throw new Error(`${options.command} can't be started`)
    child.unref()
    return { options, pid: child.pid, started: startOf(child.pid) ?? 'ended at once' }
  } finally {
    closeSync(log)
  }
}

export function processExists(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** Start time of a process that runs, in clock ticks since boot (proc_pid_stat(5), field 22). */
export function startOf(pid: number): string | undefined {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? []
    const [state, startTime] = [fields[0], fields[19]]
    return state === 'Z' ? undefined : startTime
  } catch {
    return undefined
  }
}
