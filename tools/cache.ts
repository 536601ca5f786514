/** Where what was fetched or made once is kept for later runs. */
import { homedir } from 'node:os'
import { join } from 'node:path'

export const isRoot = process.getuid?.() === 0

/** Root starts PostgreSQL as somebody else, who can't look into root's home: root's cache is the machine's. */
export const cacheDirectory = join(
  isRoot ? '/var/cache' : (process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache')),
  'firebreak',
)
