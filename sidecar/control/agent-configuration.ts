/** The operator's resource of our own type → the configuration in force. */
import { gunzipSync } from 'node:zlib'
import type { ManifestFile } from '@firebreak/crds'
import { type Configuration, compileConfiguration } from '../configuration/configuration.ts'
import { inOneLine } from '../guarding.ts'
import type { Result } from '../session.ts'
import { readCertificates, type SentCertificates } from './certificates.ts'
import { readRecords, type SentRecords } from './records.ts'

export interface ReceivedConfiguration {
  readonly namespace: string
  /** Of the AgentIdentity. */
  readonly name: string
  readonly revision: string
  readonly configuration: Configuration
  readonly records: SentRecords
  readonly certificates: SentCertificates
}

/** In bytes of JSON. */
const largestConfiguration = 32 * 1024 * 1024

/** Relative paths in manifests start here: a pod has no directory of manifests. */
const directory = '/'

/** What is in force where there is nothing: everybody is refused. */
export function emptyConfiguration(): Configuration {
  const { configuration } = compileConfiguration([], directory)
  if (!configuration) throw new Error('nothing is not valid')
  return configuration
}

/** @param value JSON; see `SentConfiguration` of the operator. Errors hold nothing of a Secret. */
export function readConfiguration(value: Uint8Array): Result<ReceivedConfiguration, string> {
  const sent = parse(value)
  if (!sent) return { ok: false, error: 'it is not what this version of the enforcer understands' }
  const { namespace, name, revision, manifests, records, certificates } = sent
  const { configuration, problems } = compileConfiguration(manifests.map(asFile), directory)
  if (configuration)
    return { ok: true, value: { namespace, name, revision, configuration, records, certificates } }
  const errors = problems.filter(({ severity }) => severity === 'error')
  return { ok: false, error: errors.map(inOneLine).join('; ') }
}

interface Sent {
  readonly namespace: string
  readonly name: string
  readonly revision: string
  readonly manifests: readonly object[]
  readonly records: SentRecords
  readonly certificates: SentCertificates
}

function parse(value: Uint8Array): Sent | undefined {
  let sent: unknown
  try {
    sent = JSON.parse(Buffer.from(value).toString())
  } catch {
    return undefined
  }
  if (typeof sent !== 'object' || sent === null) return undefined
  const { namespace, name, revision, manifests, secrets, ...rest } = sent as Record<string, unknown>
  const named = [namespace, name, revision].every((text) => typeof text === 'string' && text !== '')
  const records = readRecords(rest.records)
  const certificates = readCertificates(rest.certificates)
  if (!named || !records || !certificates || typeof manifests !== 'string' || !Array.isArray(secrets))
    return undefined
  const others = decompressed(manifests)
  if (!others) return undefined
  return { ...(sent as Sent), manifests: [...others, ...(secrets as object[])], records, certificates }
}

/** @returns undefined when it is not a list in JSON, gzip and base64, or too much for a pod. */
function decompressed(manifests: string): object[] | undefined {
  try {
    const json = gunzipSync(Buffer.from(manifests, 'base64'), { maxOutputLength: largestConfiguration })
    const list: unknown = JSON.parse(json.toString())
    return Array.isArray(list) ? (list as object[]) : undefined
  } catch {
    return undefined
  }
}

/** One manifest as a file of its own, so that problems say where they are. JSON is YAML. */
function asFile(manifest: object): ManifestFile {
  const { kind, metadata } = manifest as { kind?: unknown; metadata?: { name?: unknown } }
  return { path: `${kind}/${metadata?.name}`, text: JSON.stringify(manifest) }
}
