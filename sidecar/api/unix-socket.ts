/** The file of a Unix socket: a new one for each process, for nobody but its user and group. */
import { chmodSync, lstatSync, rmSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { connect } from 'node:net'
import { dirname } from 'node:path'

/** sockaddr_un holds so many bytes, with the zero at the end. https://man7.org/linux/man-pages/man7/unix.7.html */
const longestPath = 107

/** @throws Error when the path can't be one, or is in use. */
export async function prepareSocket(path: string): Promise<void> {
  if (Buffer.byteLength(path) > longestPath)
    throw new Error(
      `the path of the socket ${path} is longer than ${longestPath} bytes; choose a shorter --state`,
    )
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const stats = lstatSync(path, { throwIfNoEntry: false })
  if (!stats) return
  if (!stats.isSocket()) throw new Error(`${path} is no socket; it is left alone`)
  if (await answers(path)) throw new Error(`${path} is in use by another process`)
  // a process that was killed has left it
  rmSync(path, { force: true })
}

/** Until here only its user may connect: a socket is made without the right to write for others. */
export function secureSocket(path: string): void {
  chmodSync(path, 0o660)
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
