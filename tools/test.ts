/** Runs all tests: those on a cluster's nodes, which mostly wait for its kubelet, beside all others. */
import { runTests } from './test-runs.ts'

const onNodes = 'e2e/{images,nodes,product}/**/*.test.ts'
const all = [
  '{crds,policy,xds,sidecar,operator,cli,e2e,tools}/**/*.test.ts',
  'test/**/*.test.ts',
  'attacks/**/*.test.ts',
]

process.exitCode = (await runTests([[onNodes], [...all, '--ignore', onNodes]])) ? 0 : 1
