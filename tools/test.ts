/** Runs all tests: those on a cluster's nodes, which mostly wait for its kubelet, beside all others. Each run has its own closing counts. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createRequire } from 'node:module'

const mocha = createRequire(import.meta.url).resolve('mocha/bin/mocha.js')
const onNodes = 'e2e/{images,nodes,product}/**/*.test.ts'
const all = [
  '{crds,policy,xds,sidecar,operator,cli,e2e,tools}/**/*.test.ts',
  'test/**/*.test.ts',
  'attacks/**/*.test.ts',
]

const codes = await Promise.all([run([onNodes]), run([...all, '--ignore', onNodes])])
process.exitCode = codes.every((code) => code === 0) ? 0 : 1

async function run(files: readonly string[]): Promise<number | null> {
  const child = spawn(process.execPath, [mocha, '--reporter', 'tools/reporter.ts', ...files], {
    stdio: 'inherit',
  })
  const [code] = (await once(child, 'exit')) as [number | null]
  return code
}
