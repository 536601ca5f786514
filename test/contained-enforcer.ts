/**
 * The enforcer of a contained pod with manifests from a directory, as a process: what `firebreak sidecar` is without an
 * operator. Arguments: directory, run directory, identity, loopback port of the first resource.
 */
import { join } from 'node:path'
import { Audit } from '../sidecar/audit/audit.ts'
import { loadConfiguration } from '../sidecar/configuration/configuration.ts'
import { Containment } from '../sidecar/containment/containment.ts'
import { Listener } from '../sidecar/listen/listener.ts'
import { mayHoldSecret, normalizeSql } from '../sidecar/protocols/postgresql/analysis/normalize.ts'
import { postgresql } from '../sidecar/protocols/postgresql/index.ts'
import { Runtime } from '../sidecar/runtime.ts'

const [directory = '', runDirectory = '', identity = '', port = '0'] = process.argv.slice(2)
const { configuration, problems } = loadConfiguration(directory)
if (!configuration) throw new Error(JSON.stringify(problems))
const audit = await Audit.open(
  [{ kind: 'file', path: join(runDirectory, 'audit.jsonl') }],
  { normalize: normalizeSql, mayHoldSecret },
  { failed() {}, recovered() {}, undelivered() {}, delivered() {} },
)
const runtime = new Runtime(configuration, audit)
const [resource] = configuration.manifests.resources
if (!resource) throw new Error('there is no resource')
await Listener.open(
  resource,
  postgresql,
  runtime,
  { host: '127.0.0.1', port: Number(port) },
  identity.split('/')[1],
)
await Containment.open({
  runtime,
  identity: identity as `${string}/${string}`,
  runDirectory,
  protocolFor: (type) => (type === 'postgresql' ? postgresql : undefined),
})
console.log('ready')
