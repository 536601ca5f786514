/** `npm run bench -- NAME`: benchmarks that compare in one run with the direct connection and with a peer. */

import { benchApprovals } from './approvals.ts'
import { benchContainment } from './containment.ts'
import { benchControlPlane } from './control-plane.ts'
import { benchHttp } from './http.ts'
import { benchKubernetes } from './kubernetes.ts'
import { benchPods } from './pods.ts'
import { benchPostgresql } from './postgresql.ts'
import { benchSessions } from './sessions.ts'

const benches: Readonly<Record<string, (seconds: number) => Promise<void>>> = {
  postgresql: benchPostgresql,
  'control-plane': benchControlPlane,
  containment: benchContainment,
  pods: benchPods,
  http: benchHttp,
  kubernetes: benchKubernetes,
  approvals: benchApprovals,
  sessions: benchSessions,
}

const [name = '', seconds = '6'] = process.argv.slice(2)
const bench = benches[name]
if (!bench || !(Number(seconds) > 0)) {
  console.error(`Usage: npm run bench -- ${Object.keys(benches).join('|')} [SECONDS PER MEASUREMENT]`)
  process.exit(2)
}
await bench(Number(seconds))
