/** Where what was fetched or made once is kept for later runs. */
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

export const isRoot = process.getuid?.() === 0

/** Root starts PostgreSQL as somebody else, who can't look into root's home: root's cache is the machine's. */
export const cacheDirectory = join(
  isRoot ? '/var/cache' : (process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache')),
  'firebreak',
)

/**
 * Makes something of the cache whole or not at all: a run that is cut off or goes on beside another leaves nothing half done.
 *
 * @param place where it will be. @param make fills a directory. @param kept the part of that directory that it is.
 */
export async function madeOnce(
  place: string,
  make: (draft: string) => Promise<void>,
  kept = '.',
): Promise<string> {
  if (existsSync(place)) return place
  mkdirSync(cacheDirectory, { recursive: true })
  const draft = mkdtempSync(join(cacheDirectory, 'draft-'))
  try {
    await make(draft)
    renameSync(join(draft, kept), place)
  } catch (error) {
    // another process may have been first
    if (!existsSync(place)) throw error
  } finally {
    rmSync(draft, { recursive: true, force: true })
  }
  return place
}
