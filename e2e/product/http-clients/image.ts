/** An image with clients of HTTP APIs as agents have them, and the APIs that they call. No credential is in it. */
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import {
  goProgram,
  pythonPackages as httpPackages,
  nodePrograms,
  pythonProgram,
} from '../../../test/clients/http-programs/programs.ts'
import { pythonPackages } from '../../../tools/clients.ts'
import { buildDebianImage } from '../../cluster/images/build.ts'

/** The tools image with Node, Python's httpx, requests and grpcio, and {@link programs}. */
export const httpClientsImage = 'firebreak.test/http-clients:checkout'

/** Of the tools image. */
const debianPython = '3.11'

const own = (name: string): string => fileURLToPath(new URL(name, import.meta.url))

/** Paths in the image, of what Node runs as `.js`. */
export const programs = {
  fetch: '/opt/clients/fetch.js',
  axios: '/opt/clients/axios.js',
  python: '/opt/clients/ask.py',
  go: '/opt/clients/net-http',
  grpc: '/opt/clients/grpc-client.js',
  pythonGrpc: '/opt/clients/grpc_client.py',
  mcp: '/opt/clients/mcp-client.js',
  server: '/opt/clients/server.js',
} as const

/** @returns the path of the archive. */
export async function buildHttpClientsImage(directory: string): Promise<string> {
  const contents = mkdtempSync(join(tmpdir(), 'firebreak-http-clients-'))
  try {
    const place = join(contents, dirname(programs.server))
    await bundle(place)
    copyFileSync(pythonProgram, join(contents, programs.python))
    copyFileSync(await goProgram(), join(contents, programs.go))
    const binaries = join(contents, 'usr/local/bin')
    mkdirSync(binaries, { recursive: true })
    copyFileSync(process.execPath, join(binaries, 'node'))
    copyFileSync(own('grpc_client.py'), join(contents, programs.pythonGrpc))
    const packages = [...Object.values(httpPackages), 'grpcio==1.85.1']
    cpSync(await pythonPackages(debianPython, packages), join(contents, 'opt/python'), { recursive: true })
    const path = join(directory, 'http-clients.image')
    const environment = { PYTHONPATH: '/opt/python' }
    await buildDebianImage(path, {
      name: httpClientsImage,
      contents,
      environment,
      command: ['sleep', 'infinity'],
    })
    return path
  } finally {
    rmSync(contents, { recursive: true, force: true })
  }
}

/** Programs of Node with the packages that they use, a file each. */
async function bundle(place: string): Promise<void> {
  await build({
    entryPoints: [
      ...Object.values(nodePrograms),
      own('grpc-client.ts'),
      own('mcp-client.ts'),
      own('server.ts'),
    ],
    outdir: place,
    // not in a directory for each place that one comes from
    entryNames: '[name]',
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: `node${process.versions.node}`,
    logLevel: 'warning',
    // for what is bundled and still written for CommonJS
    banner: {
      js: `import { createRequire as createRequireHere } from 'node:module'
const [require, __dirname, __filename] = [createRequireHere(import.meta.url), import.meta.dirname, import.meta.filename]`,
    },
  })
  writeFileSync(join(place, 'package.json'), '{"type":"module"}\n')
}
