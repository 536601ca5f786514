/** The words of --audit: where the trail goes, and how. */
import { readFileSync } from 'node:fs'
import { type AuditTarget, defaultSpoolLimit } from '@firebreak/sidecar'
import type { ReceiverTarget } from '@firebreak/sidecar/audit/target.ts'
import { UsageError } from './command.ts'
import {
  collectorAddress,
  encrypted,
  headersFrom,
  type TargetOptions as Options,
  refuseRest,
  splitTarget,
  take,
  withoutPassword,
} from './target-options.ts'

/** A file keeps that many before it, unless it is told otherwise. */
const defaultKeep = 7

export const auditHelp = `  --audit TARGET[,OPTION=VALUE]…
                    where the audit trail goes; may be repeated, each gets every line (default: standard output)
      -             standard output
      FILE          appended to. max-size=100MiB and max-age=24h put it aside as FILE.1, keep=7 of them
      https://…     POST of JSON lines, signed: secret-file=FILE; format=ocsf sends OCSF events
      otlp+https:// an OpenTelemetry collector: headers-file=FILE has lines of "name: value"
      postgresql://USER@HOST/DATABASE
                    a table: password-file=FILE
                    All three keep what is not delivered yet in spool=DIRECTORY (needed), up to spool-size=256MiB,
                    and verify the server by ca-file=FILE (PEM)`

/** @throws UsageError for what can't be meant, and the system's error when a file can't be read. */
export function parseAuditTargets(items: readonly string[] | undefined): AuditTarget[] {
  return (items ?? ['-']).map((item) => {
    const { target, options } = splitTarget('--audit', item)
    const parsed = parseTarget(target, options)
    refuseRest('--audit', target, options)
    return parsed
  })
}

/** Targets elsewhere, for somebody who has spools of its own. @throws as {@link parseAuditTargets}. */
export function parseReceivers(items: readonly string[]): ReceiverTarget[] {
  return items.map((item) => {
    const { target, options } = splitTarget('--audit', item)
    for (const name of ['spool', 'spool-size'])
      if (options.has(name)) throw new UsageError(`--audit ${target} takes no option ${name}`)
    const parsed = parseTarget(target, options.set('spool', ''))
    if (parsed.kind === 'standardOutput' || parsed.kind === 'file')
      throw new UsageError(`--audit takes https://, otlp+https:// or postgresql:// here, not ${target}`)
    refuseRest('--audit', target, options)
    const { spool: _, ...receiver } = parsed
    return receiver
  })
}

function parseTarget(target: string, options: Options): AuditTarget {
  if (target === '-') return { kind: 'standardOutput' }
  const [, scheme] = /^([a-z][a-z+]*):\/\//.exec(target) ?? []
  switch (scheme) {
    case undefined:
      return fileTarget(target, options)
    case 'http':
    case 'https':
      return {
        kind: 'http',
        url: encrypted('--audit', target, target),
        secret: needed(secretFrom(options, 'secret-file'), target, 'secret-file'),
        format: formatOf(take(options, 'format') ?? 'lines'),
        ...remote(target, options),
      }
    case 'otlp+http':
    case 'otlp+https':
      return {
        kind: 'otlp',
        url: collectorAddress('--audit', target, '/v1/logs'),
        headers: headersFrom(options),
        ...remote(target, options),
      }
    case 'postgresql':
    case 'postgres':
      return {
        kind: 'postgresql',
        url: withoutPassword('--audit', target),
        password: secretFrom(options, 'password-file'),
        ...remote(target, options),
      }
    default:
      throw new UsageError(
        `--audit takes a file, -, https://, otlp+https:// or postgresql://, not ${scheme}://`,
      )
  }
}

function fileTarget(path: string, options: Options): AuditTarget {
  const size = take(options, 'max-size')
  const age = take(options, 'max-age')
  const keep = take(options, 'keep')
  if (size === undefined && age === undefined && keep === undefined) return { kind: 'file', path }
  if (size === undefined && age === undefined) throw new UsageError('keep goes with max-size or max-age')
  if (keep !== undefined && !/^[1-9][0-9]{0,3}$/.test(keep))
    throw new UsageError(`keep takes a number of files, not ${keep}`)
  return {
    kind: 'file',
    path,
    rotation: {
      bytes: size === undefined ? undefined : bytesOf(size),
      milliseconds: age === undefined ? undefined : millisecondsOf(age),
      keep: keep === undefined ? defaultKeep : Number(keep),
    },
  }
}

function remote(target: string, options: Options) {
  const directory = needed(take(options, 'spool'), target, 'spool')
  const limit = take(options, 'spool-size')
  const caFile = take(options, 'ca-file')
  const bytes = limit === undefined ? defaultSpoolLimit : bytesOf(limit)
  if (bytes < smallestSpoolLimit) throw new UsageError(`spool-size is at least 1MiB, not ${limit}`)
  return {
    spool: { directory, limit: bytes },
    ca: caFile === undefined ? undefined : readFileSync(caFile, 'utf8'),
  }
}

function needed(value: string | undefined, target: string, option: string): string {
  if (value === undefined) throw new UsageError(`--audit ${target} needs ${option}=…`)
  return value
}

function secretFrom(options: Options, option: string): string | undefined {
  const file = take(options, option)
  if (file === undefined) return undefined
  const secret = readFileSync(file, 'utf8').trim()
  if (option === 'secret-file' && secret.length < 16)
    throw new UsageError(`the secret in ${file} is shorter than 16 characters`)
  return secret
}

function formatOf(text: string): 'lines' | 'ocsf' {
  if (text !== 'lines' && text !== 'ocsf') throw new UsageError(`format is lines or ocsf, not ${text}`)
  return text
}

/** Any line has room. */
const smallestSpoolLimit = 2 ** 20

const byteUnits: Readonly<Record<string, number>> = { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 }
const timeUnits: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 }

function bytesOf(text: string): number {
  const [, number, unit] = /^([1-9][0-9]{0,5})(KiB|MiB|GiB)$/.exec(text) ?? []
  if (number === undefined) throw new UsageError(`a size is a number with KiB, MiB or GiB, not ${text}`)
  return Number(number) * (byteUnits[unit ?? ''] ?? 0)
}

function millisecondsOf(text: string): number {
  const [, number, unit] = /^([1-9][0-9]{0,5})(m|h|d)$/.exec(text) ?? []
  if (number === undefined) throw new UsageError(`an age is a number with m, h or d, not ${text}`)
  return Number(number) * (timeUnits[unit ?? ''] ?? 0)
}
