/** Where audit lines end up: a file, which may be rotated while it is open, or standard output. */
import { closeSync, fstatSync, openSync, readSync, type Stats, statSync, write, writeSync } from 'node:fs'

export interface Sink {
  /** Writes as much as the sink takes now. @returns how many bytes. @throws the system's error. */
  write(bytes: Buffer, from: number): Promise<number>
  /** Follows the path if another file is there by now. @returns whether bytes go to another file from here on. */
  follow(): boolean
  close(): void
}

export const standardOutput: Sink = {
  write: (bytes, from) => writeTo(1, bytes, from),
  follow: () => false,
  close: () => {},
}

export class FileSink implements Sink {
  readonly #path: string
  #file: number

  /** @throws the system's error when the file can't be opened. */
  constructor(path: string) {
    this.#path = path
    this.#file = openForLines(path)
  }

  write(bytes: Buffer, from: number): Promise<number> {
    return writeTo(this.#file, bytes, from)
  }

  follow(): boolean {
    if (isSameFile(statSync(this.#path, { throwIfNoEntry: false }), fstatSync(this.#file))) return false
    try {
      const file = openForLines(this.#path)
      closeSync(this.#file)
      this.#file = file
      return true
    } catch {
      // what is open can still be written to, and the path is looked at again
      return false
    }
  }

  close(): void {
    closeSync(this.#file)
  }
}

/** Opens a file to append to. A line that an earlier process left unfinished is ended, so that only it is broken. */
export function openForLines(path: string): number {
  const file = openSync(path, 'a', 0o600)
  try {
    const { size } = fstatSync(file)
    if (size > 0 && lastByte(path, size) !== newline) writeSync(file, '\n')
  } catch {
    // not readable, or full: the lines to come matter more
  }
  return file
}

export function writeTo(file: number, bytes: Buffer, from: number): Promise<number> {
  return new Promise((resolve, reject) => {
    write(file, bytes, from, bytes.length - from, null, (error, written) =>
      error ? reject(error) : resolve(written),
    )
  })
}

const newline = 0x0a

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

function isSameFile(a: Stats | undefined, b: Stats): boolean {
  return a?.ino === b.ino && a.dev === b.dev
}
