/** The folder of a state directory that nobody but the sidecar can write to: what is in it holds. */
import { existsSync, readdirSync } from 'node:fs'
import { lstat, mkdir } from 'node:fs/promises'
import { join } from 'node:path'

function ownFolder(directory: string): string {
  return join(directory, '.runner')
}

/** Whether an earlier process left requests that are open. */
export function holdsRequests(directory: string): boolean {
  const own = ownFolder(directory)
  return existsSync(own) && readdirSync(own).some((name) => name.endsWith('.yaml'))
}

/** Makes it, where it is not there. @returns its path. @throws Error when others could write to it, and the system's. */
export async function openOwnFolder(directory: string): Promise<string> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const own = ownFolder(directory)
  await mkdir(own, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error
  })
  const stats = await lstat(own)
  if (!stats.isDirectory() || stats.uid !== process.getuid?.() || (stats.mode & 0o077) !== 0)
    throw new Error(
      `${own} has to be a directory of this user's own, with mode 0700: others could write approvals`,
    )
  return own
}
