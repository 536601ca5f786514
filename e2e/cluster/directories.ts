/** Where the test cluster keeps things: outside the checkout, in the user's own directories (XDG base directories). */
import { mkdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

/** What can be made again, at a price: the compiled program, Debian's packages, images. */
export function cacheDirectory(...names: string[]): string {
  return made(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), names)
}

/** What a running cluster needs and `down` removes. */
export function stateDirectory(...names: string[]): string {
  return made(process.env.XDG_STATE_HOME ?? join(homedir(), '.local', 'state'), names)
}

function made(base: string, names: readonly string[]): string {
  const directory = join(base, 'firebreak', 'test-cluster', ...names)
  mkdirSync(directory, { recursive: true })
  return directory
}
