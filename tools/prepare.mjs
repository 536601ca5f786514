// Makes a fresh checkout ready: installs the locked dependencies (Node 24 is one of them) when they are missing
// or the lockfile has changed. Runs on any Node from 20 on and uses nothing but Node itself.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const stamp = `${root}node_modules/.prepared`
const wanted = createHash('sha256')
  .update(readFileSync(`${root}package-lock.json`))
  .digest('hex')

if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== wanted) {
  console.error('Installing the locked dependencies (once; Node 24 and PostgreSQL come with them) …')
  const install = () =>
    spawnSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
      cwd: root,
      stdio: ['ignore', 2, 2],
    })
  let npm = install()
  if (npm.status !== 0) {
    console.error('That failed; once more, with what was fetched already …')
    npm = install()
  }
  if (npm.status !== 0) {
    console.error(
      `npm ci failed (${npm.error?.message ?? `exit code ${npm.status}`}). Is the package registry reachable?`,
    )
    process.exit(1)
  }
  writeFileSync(stamp, wanted)
}
