/**
 * Generates Envoy's API, as far as it is used, from the proto files that come with `@grpc/grpc-js-xds`, and our own from
 * those in `proto`.
 *
 * `node xds/generate.ts` writes it; with `--check` it only says whether what is there is current.
 */
import { execFileSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** What is used, by the file that it is in. */
const used: Readonly<Record<string, string>> = {
  'firebreak/control/v1alpha1/approvals.proto': 'firebreak.control.v1alpha1.Approvals',
  'firebreak/control/v1alpha1/signals.proto': 'firebreak.control.v1alpha1.Signals',
  'envoy/service/discovery/v3/ads.proto': 'envoy.service.discovery.v3.AggregatedDiscoveryService',
  'envoy/config/listener/v3/listener.proto': 'envoy.config.listener.v3.Listener',
  'envoy/config/cluster/v3/cluster.proto': 'envoy.config.cluster.v3.Cluster',
  'envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.proto':
    'envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
  'envoy/extensions/filters/listener/original_dst/v3/original_dst.proto':
    'envoy.extensions.filters.listener.original_dst.v3.OriginalDst',
  'envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector.proto':
    'envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector',
  'envoy/extensions/transport_sockets/proxy_protocol/v3/upstream_proxy_protocol.proto':
    'envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport',
  'envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer.proto':
    'envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer',
  'envoy/extensions/access_loggers/stream/v3/stream.proto':
    'envoy.extensions.access_loggers.stream.v3.StdoutAccessLog',
}
/** Annotations that only Envoy itself and documentation look at. */
const unused = ['validate', 'udpa.annotations', 'xds.annotations.v3', 'envoy.annotations']

const here = dirname(fileURLToPath(import.meta.url))
const packages = createRequire(import.meta.url)
const protoFiles = join(dirname(packages.resolve('@grpc/grpc-js-xds/package.json')), 'deps')
const roots = [
  join(here, 'proto'),
  ...['envoy-api', 'xds', 'googleapis', 'protoc-gen-validate'].map((name) => join(protoFiles, name)),
]

/** Copies a proto file and all that it imports. */
function copyWithImports(path: string, to: string): void {
  const place = join(to, path)
  // buf has Google's own types built in
  if (path.startsWith('google/protobuf/') || existsSync(place)) return
  const root = roots.find((candidate) => existsSync(join(candidate, path)))
  if (root === undefined) throw new Error(`there is no ${path} in ${protoFiles}`)
  mkdirSync(dirname(place), { recursive: true })
  cpSync(join(root, path), place)
  for (const [, imported = ''] of readFileSync(place, 'utf8').matchAll(/^import (?:public )?"([^"]+)";/gm))
    copyWithImports(imported, to)
}

/** The package's validate.proto is older than its Envoy API, which uses one field more. */
function addMissingField(to: string): void {
  const place = join(to, 'validate/validate.proto')
  const text = readFileSync(place, 'utf8')
  const marker = 'message StringRules {'
  if (!text.includes('ignore_empty'))
    writeFileSync(place, text.replace(marker, `${marker}\n  optional bool ignore_empty = 26;`))
}

/** @returns by path what is generated. */
function generate(): Map<string, string> {
  const directory = mkdtempSync(join(tmpdir(), 'firebreak-xds-'))
  try {
    for (const path of Object.keys(used)) copyWithImports(path, join(directory, 'proto'))
    addMissingField(join(directory, 'proto'))
    const plugin = join(
      dirname(packages.resolve('@bufbuild/protoc-gen-es/package.json')),
      'bin/protoc-gen-es',
    )
    const options = ['target=js+dts', 'import_extension=js']
    const settings = {
      'buf.yaml': { version: 'v2', modules: [{ path: 'proto' }] },
      'buf.gen.yaml': {
        version: 'v2',
        plugins: [
          { local: [process.execPath, plugin], out: 'generated', include_imports: true, opt: options },
        ],
        inputs: [{ directory: '.', types: Object.values(used), exclude_types: unused }],
      },
    }
    for (const [name, value] of Object.entries(settings))
      writeFileSync(join(directory, name), JSON.stringify(value))
    const buf = join(dirname(packages.resolve('@bufbuild/buf/package.json')), 'bin/buf')
    execFileSync(process.execPath, [buf, 'generate'], {
      cwd: directory,
      stdio: ['ignore', 'inherit', 'inherit'],
    })
    return filesIn(join(directory, 'generated'))
  } finally {
    rmSync(directory, { recursive: true })
  }
}

function filesIn(directory: string): Map<string, string> {
  const paths = globSync('**/*_pb.{js,d.ts}', { cwd: directory })
  return new Map(paths.sort().map((path) => [path, readFileSync(join(directory, path), 'utf8')]))
}

const place = join(here, 'generated')
const wanted = generate()
if (process.argv.includes('--check')) {
  const there = filesIn(place)
  const stale = [...new Set([...wanted.keys(), ...there.keys()])].filter(
    (path) => wanted.get(path) !== there.get(path),
  )
  if (stale.length > 0) {
    console.error(`xds/generated is not current: run node xds/generate.ts (${stale.slice(0, 3).join(', ')})`)
    process.exitCode = 1
  }
} else {
  rmSync(place, { recursive: true, force: true })
  for (const [path, text] of wanted) {
    mkdirSync(dirname(join(place, path)), { recursive: true })
    writeFileSync(join(place, path), text)
  }
}
