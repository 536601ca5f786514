/**
 * The Go toolchain that compiles the test cluster: the machine's own, or one fetched from the Go module proxy, where
 * Go publishes its toolchains (https://go.dev/doc/toolchain).
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { again } from '../../../tools/again.ts'
import { cacheDirectory } from '../directories.ts'
import type { Progress } from '../progress.ts'
import { unzip } from './zip.ts'

const version = '1.26.8'

/** SHA-256 of the toolchain's archive, per platform. */
const archives: Readonly<Record<string, string>> = {
  'linux-amd64': '30c2b1bf7dcc88d3eb0a1364e47ddd9128edb3110a30e8a0ef61cd5856b31de7',
  'linux-arm64': '02b36b6787b3ac767668f630e2998df45a3b1f9ffee08d1bf3ef6487cd658d99',
  'darwin-arm64': '0aad5fb52b88498885290178adc0bcfe429bc63012621af9f83282eb640bd9c7',
}

/** Path of a `go` command that can compile the components. */
export async function findGo(progress: Progress): Promise<string> {
  return isRecentEnough('go') ? 'go' : fetchToolchain(progress)
}

/** The components' go.mod asks for Go 1.24. */
function isRecentEnough(go: string): boolean {
  const answer = spawnSync(go, ['env', 'GOVERSION'], {
    encoding: 'utf8',
    env: { ...process.env, GOTOOLCHAIN: 'local' },
  })
  const [, major, minor] = /^go(\d+)\.(\d+)/.exec(answer.stdout ?? '') ?? []
  return Number(major) > 1 || (Number(major) === 1 && Number(minor) >= 24)
}

async function fetchToolchain(progress: Progress): Promise<string> {
  const platform = `${process.platform}-${process.arch === 'x64' ? 'amd64' : process.arch}`
  const directory = join(cacheDirectory(), `go${version}.${platform}`)
  const go = join(directory, 'bin', 'go')
  if (existsSync(go)) return go
  const wanted = archives[platform]
  if (wanted === undefined)
    throw new Error(`Compiling the test cluster needs Go 1.24 or later on ${platform}`)
  progress(`There is no Go 1.24 or later on this machine: fetching Go ${version} (70 MB) …`)
  const name = `v0.0.1-go${version}.${platform}`
  const archive = await again(() => download(`golang.org/toolchain/@v/${name}.zip`))
  if (createHash('sha256').update(archive).digest('hex') !== wanted)
    throw new Error('The archive of the Go toolchain is not the one that was published: its SHA-256 differs')
  const draft = mkdtempSync(join(cacheDirectory(), 'go-'))
  unzip(archive, draft, { strip: `golang.org/toolchain@${name}/`, executable: /\/(bin|pkg\/tool)\// })
  try {
    renameSync(draft, directory)
  } catch {
    // another process was faster: its toolchain is as good
    rmSync(draft, { recursive: true, force: true })
  }
  return go
}

async function download(path: string): Promise<Buffer> {
  const failures: string[] = []
  for (const proxy of moduleProxies()) {
    try {
      const response = await fetch(`${proxy}/${path}`)
      if (response.ok) return Buffer.from(await response.arrayBuffer())
      failures.push(`${proxy}: ${response.status}`)
    } catch (error) {
      failures.push(`${proxy}: ${error instanceof Error ? error.message : error}`)
    }
  }
  throw new Error(`Go's toolchain can't be fetched: ${failures.join('; ')}`)
}

/** As in https://go.dev/ref/mod#goproxy-protocol: a list whose words `direct` and `off` name no proxy. */
function moduleProxies(): string[] {
  const list = process.env.GOPROXY ?? 'https://proxy.golang.org'
  return list.split(/[,|]/).filter((entry) => entry.startsWith('http'))
}
