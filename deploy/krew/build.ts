/**
 * Writes the archive of the kubectl plugin for the platform that it runs on, and the krew manifest of all archives in a directory:
 * node deploy/krew/build.ts DIRECTORY URL, under which the archives will be.
 *
 * The archive carries its Node, so that nothing has to be installed beside it.
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { stringify } from 'yaml'
import { version } from '../../cli/version.ts'

const file = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url))

/** What programs read from beside themselves: in a bundle that is the one directory. */
const besides = [
  'sidecar/protocols/postgresql/catalogue/builtin-functions.yaml',
  'sidecar/protocols/postgresql/catalogue/builtin-relations.yaml',
  'sidecar/protocols/postgresql/catalogue/builtin-settings.yaml',
  'sidecar/protocols/postgresql/catalogue/total-functions.yaml',
  'cli/sessions/export/page.css',
  'cli/sessions/export/page.js',
  'node_modules/libpg-query/wasm/libpg-query.wasm',
  'node_modules/@electric-sql/pglite/dist/initdb.wasm',
  'node_modules/@electric-sql/pglite/dist/pglite.wasm',
  'node_modules/@electric-sql/pglite/dist/pglite.data',
]

const commonJs = `import { createRequire as createRequireHere } from 'node:module'
const [require, __dirname, __filename] = [createRequireHere(import.meta.url), import.meta.dirname, import.meta.filename]`

/** krew links to it, from wherever it keeps plugins. */
const launcher = `#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
exec "$here/node" "$here/program/main.js" "$@"
`

/** As Go names them, and with it krew. */
const systems: Readonly<Record<string, string>> = { linux: 'linux', darwin: 'darwin' }
const processors: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' }

/** Lays the plugin out as it stands in the archive. */
async function layOut(place: string): Promise<void> {
  const program = join(place, 'program')
  await build({
    entryPoints: [file('cli/kubectl/main.ts')],
    outdir: program,
    bundle: true,
    // a command loads what it needs, and no more
    splitting: true,
    platform: 'node',
    format: 'esm',
    target: `node${process.versions.node}`,
    legalComments: 'linked',
    logLevel: 'warning',
    // for what is bundled and still written for CommonJS
    banner: { js: commonJs },
  })
  writeFileSync(join(program, 'package.json'), '{"type":"module"}\n')
  for (const path of besides) copyFileSync(file(path), join(program, basename(path)))
  copyFileSync(process.execPath, join(place, 'node'))
  writeFileSync(join(place, 'kubectl-firebreak'), launcher)
  for (const name of ['node', 'kubectl-firebreak']) chmodSync(join(place, name), 0o755)
}

/** The same contents give the same bytes. */
function pack(place: string, archive: string): void {
  const reproducible = [
    '--sort=name',
    '--mtime=@0',
    '--owner=0',
    '--group=0',
    '--numeric-owner',
    '--mode=go-w',
  ]
  execFileSync('tar', [
    '--create',
    '--use-compress-program=gzip -n',
    ...reproducible,
    '--file',
    archive,
    '--directory',
    place,
    '.',
  ])
}

/** https://krew.sigs.k8s.io/docs/developer-guide/plugin-manifest/ */
function manifestOf(directory: string, url: string): object {
  const platforms = readdirSync(directory)
    .sort()
    .flatMap((name) => {
      const [, os, arch] = /^kubectl-firebreak_[^_]+_([a-z]+)_([a-z0-9]+)\.tar\.gz$/.exec(name) ?? []
      if (os === undefined) return []
      const sha256 = createHash('sha256')
        .update(readFileSync(join(directory, name)))
        .digest('hex')
      return [
        { selector: { matchLabels: { os, arch } }, uri: `${url}/${name}`, sha256, bin: 'kubectl-firebreak' },
      ]
    })
  return {
    apiVersion: 'krew.googlecontainertools.github.com/v1alpha2',
    kind: 'Plugin',
    metadata: { name: 'firebreak' },
    spec: {
      version: `v${version}`,
      shortDescription: 'See, approve and verify what AI agents may do',
      description:
        'For clusters with Firebreak, which limits what an AI agent can break: shows what is in force for every agent, approves what waits for a person, explains decisions, reads audit trails and recordings, and proves that nothing gets around it.\n',
      platforms,
    },
  }
}

const [directory, url] = process.argv.slice(2)
const [os, arch] = [systems[process.platform], processors[process.arch]]
if (directory === undefined || url === undefined)
  throw new Error('Usage: node deploy/krew/build.ts DIRECTORY URL')
if (os === undefined || arch === undefined)
  throw new Error(`there is no archive for ${process.platform} on ${process.arch}`)
mkdirSync(directory, { recursive: true })
const place = mkdtempSync(join(resolve(directory), 'layout-'))
try {
  await layOut(place)
  pack(place, join(directory, `kubectl-firebreak_${version}_${os}_${arch}.tar.gz`))
} finally {
  rmSync(place, { recursive: true, force: true })
}
writeFileSync(join(directory, 'firebreak.yaml'), stringify(manifestOf(directory, url)))
