/** The words of --recordings: where sessions are recorded. */
import { readFileSync } from 'node:fs'
import type { RecordingTarget } from '@firebreak/sidecar'
import { UsageError } from './command.ts'
import { refuseRest, splitTarget, take, withoutPassword } from './target-options.ts'

const option = '--recordings'

export const recordingsHelp = `  --recordings PLACE[,OPTION=VALUE]…
                    where recordings are:
      DIRECTORY     files
      s3://BUCKET[/PREFIX]
                    objects: endpoint=URL and region=NAME where they aren't Amazon's. Credentials as for any AWS
                    client: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, a web identity, an instance's role
      postgresql://USER@HOST/DATABASE
                    tables: password-file=FILE, ca-file=FILE (PEM)`

/** @throws UsageError for what can't be meant, and the system's error when a file can't be read. */
export function parseRecordings(item: string): RecordingTarget {
  const { target, options } = splitTarget(option, item)
  const [, scheme] = /^([a-z][a-z0-9+]*):\/\//.exec(target) ?? []
  const parsed = ((): RecordingTarget => {
    switch (scheme) {
      case undefined:
        return { kind: 'directory', path: target }
      case 's3':
        return s3Target(target, take(options, 'endpoint'), take(options, 'region'))
      case 'postgresql':
      case 'postgres': {
        const [passwordFile, caFile] = [take(options, 'password-file'), take(options, 'ca-file')]
        return {
          kind: 'postgresql',
          url: withoutPassword(option, target),
          password: passwordFile === undefined ? undefined : readFileSync(passwordFile, 'utf8').trim(),
          ca: caFile === undefined ? undefined : readFileSync(caFile, 'utf8'),
        }
      }
      default:
        throw new UsageError(`${option} takes a directory, s3:// or postgresql://, not ${scheme}://`)
    }
  })()
  refuseRest(option, target, options)
  return parsed
}

function s3Target(target: string, endpoint: string | undefined, region: string | undefined): RecordingTarget {
  const [, bucket, path = ''] = /^s3:\/\/([a-z0-9][a-z0-9.-]+)(?:\/(.*))?$/.exec(target) ?? []
  if (bucket === undefined) throw new UsageError(`${option} takes s3://BUCKET/PREFIX, not ${target}`)
  if (endpoint !== undefined && !/^https?:/.test(URL.canParse(endpoint) ? endpoint : ''))
    throw new UsageError(`${option} takes endpoint=URL, not ${endpoint}`)
  const prefix = path === '' || path.endsWith('/') ? path : `${path}/`
  return { kind: 's3', bucket, prefix, endpoint, region }
}

/** @returns the public keys. @throws UsageError when one is none. */
export async function parseRecipients(keys: readonly string[] | undefined): Promise<readonly string[]> {
  const { wrongRecipients } = await import('@firebreak/sidecar/recording/keys.ts')
  const [wrong] = keys === undefined ? [] : await wrongRecipients(keys)
  if (wrong !== undefined)
    throw new UsageError(`--recording-key takes a public key of age (age1…), not ${wrong}`)
  return keys ?? []
}
