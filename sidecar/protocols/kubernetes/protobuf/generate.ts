/**
 * Makes the description of the API's protobuf messages from the proto files that come with Kubernetes' own Go modules.
 *
 * `node sidecar/protocols/kubernetes/protobuf/generate.ts DIRECTORY`: of the modules, as `go mod download` keeps them
 * (`$(go env GOMODCACHE)/k8s.io`).
 */
import { execFileSync } from 'node:child_process'
import { cpSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'

const version = 'v0.34.4'
const modules = ['api', 'apimachinery', 'apiextensions-apiserver', 'kube-aggregator']
const description = fileURLToPath(new URL('kubernetes-1.34.binpb.gz', import.meta.url))

const [, , downloaded] = process.argv
if (downloaded === undefined) throw new Error('the directory of the Go modules is missing')
const directory = mkdtempSync(join(tmpdir(), 'firebreak-proto-'))
try {
  for (const name of modules) {
    const from = join(downloaded, `${name}@${version}`)
    for (const file of globSync('**/generated.proto', { cwd: from }))
      cpSync(join(from, file), join(directory, 'k8s.io', name, file))
  }
  writeFileSync(join(directory, 'buf.yaml'), 'version: v2\n')
  execFileSync('buf', ['build', '--exclude-source-info', '-o', 'description.binpb'], { cwd: directory })
  writeFileSync(description, gzipSync(readFileSync(join(directory, 'description.binpb')), { level: 9 }))
} finally {
  rmSync(directory, { recursive: true, force: true })
}
