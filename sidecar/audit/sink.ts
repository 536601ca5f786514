/** Where audit lines end up: a file, which may be rotated while it is open, a named pipe, or standard output. */
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  renameSync,
  stat,
  write,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'
import type { Rotation } from './target.ts'

export interface Sink {
  /**
   * Writes as much of the lines, from an offset on, as the sink takes now.
   *
   * @returns up to where it has them. The same offset: it is busy. An earlier one: another file is there by now, and
   * is to get whole lines.
   * @throws the system's error, when it has taken nothing.
   */
  write(lines: Buffer, from: number): Promise<number>
  /** Whether room comes by itself: at the end a failure is not the last word. */
  readonly drains?: true
  close(): void
}

export class StandardOutput implements Sink {
  constructor() {
    // a pipe or a socket becomes one that says it is full instead of keeping the writer until it is not
    void process.stdout
  }

  write(lines: Buffer, from: number): Promise<number> {
    return writeSome(1, lines, from)
  }

  close(): void {}
}

export class FileSink implements Sink {
  readonly #path: string
  readonly #rotation: Rotation | undefined
  #file: number
  #identity: string
  #openedAt = Date.now()

  /** @throws the system's error when the file can't be opened, or its directory not be written to, as rotation needs. */
  constructor(path: string, rotation?: Rotation) {
    this.#path = path
    this.#rotation = rotation
    if (rotation) accessSync(dirname(path), constants.W_OK)
    this.#file = openForLines(path)
    this.#identity = identityOf(fstatSync(this.#file, { bigint: true }))
  }

  /** Not a pipe or a device. */
  get isRegular(): boolean {
    return fstatSync(this.#file).isFile()
  }

  async write(lines: Buffer, from: number): Promise<number> {
    const there = await statusOf(this.#path)
    const same = there !== undefined && identityOf(there) === this.#identity
    const due = same && lineStart(lines, from) === from && this.#isDue(there)
    if (due) this.#rotate()
    if ((due || !same) && this.#reopen()) return await this.write(lines, lineStart(lines, from))
    let position = from
    try {
      for (let before = -1; position < lines.length && position !== before; ) {
        before = position
        position = await writeSome(this.#file, lines, position)
      }
    } catch (error) {
      const start = lineStart(lines, position)
      if (start >= from && same && this.#takeBack(position - start, there.size + BigInt(position - from)))
        position = start
      if (position === from) throw error
    }
    return position
  }

  close(): void {
    closeSync(this.#file)
  }

  #isDue({ size, birthtimeMs }: Status): boolean {
    if (!this.#rotation || size === 0n || !this.isRegular) return false
    const { bytes, milliseconds } = this.#rotation
    return (
      (bytes !== undefined && size >= bytes) ||
      (milliseconds !== undefined && Date.now() - (Number(birthtimeMs) || this.#openedAt) >= milliseconds)
    )
  }

  #rotate(): void {
    const aside = (number: number): string => `${this.#path}.${number}`
    for (let number = this.#rotation?.keep ?? 0; number > 1; number--)
      if (existsSync(aside(number - 1))) renameSync(aside(number - 1), aside(number))
    renameSync(this.#path, aside(1))
  }

  /** Removes the first part of a line that did not fit, so that the file holds whole lines while it is full. */
  #takeBack(length: number, expectedSize: bigint): boolean {
    const status = fstatSync(this.#file, { bigint: true })
    if (!status.isFile() || status.size !== expectedSize) return false
    try {
      ftruncateSync(this.#file, Number(expectedSize) - length)
      return true
    } catch {
      // it may only be appended to: the rest of the line follows when there is room
      return false
    }
  }

  #reopen(): boolean {
    try {
      const file = openForLines(this.#path)
      closeSync(this.#file)
      this.#file = file
      this.#identity = identityOf(fstatSync(file, { bigint: true }))
      this.#openedAt = Date.now()
      return true
    } catch {
      // what is open can still be written to, and the path is looked at again
      return false
    }
  }
}

/**
 * Opens a file to append to. A line that an earlier process left unfinished is ended, so that only it is broken.
 *
 * @param access flags of open(2).
 */
export function openForLines(path: string, access = constants.O_WRONLY): number {
  const { O_APPEND, O_CREAT, O_NONBLOCK } = constants
  // without O_NONBLOCK a named pipe that nobody reads would hold up the whole process
  const file = openSync(path, access | O_APPEND | O_CREAT | O_NONBLOCK, 0o600)
  try {
    const status = fstatSync(file)
    if (status.isFile() && status.size > 0 && lastByte(path, status.size) !== newline) writeSync(file, '\n')
  } catch {
    // not readable, or full: the lines to come matter more
  }
  return file
}

/** @returns up to where the file has the bytes; the same offset when it would have to wait. */
export function writeSome(file: number, bytes: Buffer, from: number): Promise<number> {
  return new Promise((resolve, reject) => {
    write(file, bytes, from, bytes.length - from, null, (error, written) => {
      if (!error) resolve(from + written)
      else if (error.code === 'EAGAIN') resolve(from)
      else reject(error)
    })
  })
}

/** The last few whole lines without their ends, the last one first; those that are very long are left out. */
export function lastLines(path: string): Buffer[] {
  if (!existsSync(path)) return []
  const file = openSync(path, 'r')
  try {
    const { size } = fstatSync(file)
    const tail = Buffer.alloc(Math.min(size, tailLength))
    const length = readSync(file, tail, 0, tail.length, size - tail.length)
    const lines: Buffer[] = []
    let end = tail.subarray(0, length).lastIndexOf('\n')
    for (let count = 0; count < tailLines && end > 0; count++) {
      const start = lineStart(tail, end)
      if (start > 0 || size === length) lines.push(tail.subarray(start, end))
      end = start - 1
    }
    return lines.filter((line) => line.length > 0)
  } finally {
    closeSync(file)
  }
}

/** @returns where the line begins that an offset is in. */
export function lineStart(bytes: Buffer, offset: number): number {
  return offset === 0 ? 0 : bytes.lastIndexOf('\n', offset - 1) + 1
}

interface Status {
  readonly dev: bigint
  readonly ino: bigint
  readonly size: bigint
  /** 0 where the file system does not know. */
  readonly birthtimeMs: bigint
}

/** In the background: the file may be on a network. @returns undefined when there is no file, or none to be seen. */
function statusOf(path: string): Promise<Status | undefined> {
  return new Promise((resolve) => {
    stat(path, { bigint: true }, (error, status) => resolve(error ? undefined : status))
  })
}

function identityOf({ dev, ino }: Status): string {
  return `${dev}:${ino}`
}

const newline = 0x0a
/** In bytes. */
const tailLength = 4 * 1024 * 1024
const tailLines = 8

function lastByte(path: string, size: number): number | undefined {
  const file = openSync(path, 'r')
  try {
    const byte = Buffer.alloc(1)
    readSync(file, byte, 0, 1, size - 1)
    return byte[0]
  } finally {
    closeSync(file)
  }
}
