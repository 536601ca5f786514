/** The words of --recordings: where sessions are recorded. */
import { readFileSync } from 'node:fs'
import type { RecordingTarget } from '@firebreak/sidecar'
import { UsageError } from './command.ts'
import { refuseRest, splitTarget, type TargetOptions, take, withoutPassword } from './target-options.ts'

const option = '--recordings'

export const recordingsHelp = `  --recordings PLACE[,OPTION=VALUE]…
                    where recordings are:
      DIRECTORY     files
      s3://BUCKET[/PREFIX]
                    objects: endpoint=URL and region=NAME where they aren't Amazon's, ca-file=FILE (PEM). Credentials by
                    access-key-file=FILE and secret-key-file=FILE, or as for any AWS client: AWS_ACCESS_KEY_ID and
                    AWS_SECRET_ACCESS_KEY, a profile, a web identity, an instance's role
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
        return s3Target(target, options)
      case 'postgresql':
      case 'postgres': {
        return {
          kind: 'postgresql',
          url: withoutPassword(option, target),
          password: secretFrom(options, 'password-file'),
          ca: secretFrom(options, 'ca-file'),
        }
      }
      default:
        throw new UsageError(`${option} takes a directory, s3:// or postgresql://, not ${scheme}://`)
    }
  })()
  refuseRest(option, target, options)
  return parsed
}

function s3Target(target: string, options: TargetOptions): RecordingTarget {
  const [endpoint, region] = [take(options, 'endpoint'), take(options, 'region')]
  const [, bucket, path = ''] = /^s3:\/\/([a-z0-9][a-z0-9.-]+)(?:\/(.*))?$/.exec(target) ?? []
  if (bucket === undefined) throw new UsageError(`${option} takes s3://BUCKET/PREFIX, not ${target}`)
  if (endpoint !== undefined && !/^https?:/.test(URL.canParse(endpoint) ? endpoint : ''))
    throw new UsageError(`${option} takes endpoint=URL, not ${endpoint}`)
  const prefix = path === '' || path.endsWith('/') ? path : `${path}/`
  const accessKeyId = secretFrom(options, 'access-key-file')
  const secretAccessKey = secretFrom(options, 'secret-key-file')
  if ((accessKeyId === undefined) !== (secretAccessKey === undefined))
    throw new UsageError(`${option} takes access-key-file and secret-key-file together`)
  const credentials =
    accessKeyId === undefined || secretAccessKey === undefined ? undefined : { accessKeyId, secretAccessKey }
  return { kind: 's3', bucket, prefix, endpoint, region, credentials, ca: secretFrom(options, 'ca-file') }
}

/** What stands in the file that an option names. */
function secretFrom(options: TargetOptions, name: string): string | undefined {
  const file = take(options, name)
  return file === undefined ? undefined : readFileSync(file, 'utf8').trim()
}

/** Who recordings are for: public keys. */
export interface Recipients {
  readonly recipients: readonly string[]
  /** Those who can see what masks hid. */
  readonly unmaskedRecipients: readonly string[]
}

/** @throws UsageError when one is none, or is for both. */
export async function parseRecipients(values: {
  readonly 'recording-key'?: readonly string[] | undefined
  readonly 'unmasked-key'?: readonly string[] | undefined
}): Promise<Recipients> {
  const { 'recording-key': recipients = [], 'unmasked-key': unmaskedRecipients = [] } = values
  await refuseWrong('--recording-key', recipients)
  await refuseWrong('--unmasked-key', unmaskedRecipients)
  const shared = unmaskedRecipients.find((key) => recipients.includes(key))
  if (shared !== undefined)
    throw new UsageError(`--unmasked-key takes a key that is no --recording-key, not ${shared}`)
  return { recipients, unmaskedRecipients }
}

async function refuseWrong(name: string, keys: readonly string[]): Promise<void> {
  if (keys.length === 0) return
  const { wrongRecipients } = await import('@firebreak/sidecar/recording/keys.ts')
  const [wrong] = await wrongRecipients(keys)
  if (wrong !== undefined) throw new UsageError(`${name} takes a public key of age (age1…), not ${wrong}`)
}
