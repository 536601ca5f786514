/** Starts a control plane, says so, and waits to be killed. */
import { dirname } from 'node:path'
import { startControlPlane } from './start.ts'

const { kubeconfig, etcd, apiServer } = await startControlPlane()
console.log(JSON.stringify({ directory: dirname(kubeconfig), processes: [etcd.pid, apiServer.pid] }))
setInterval(() => {}, 60_000)
