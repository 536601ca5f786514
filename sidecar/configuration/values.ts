/** Values that manifests only refer to: passwords, tokens, certificates. Read when they are used, kept nowhere. */
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Result } from '../session.ts'
import { inWords } from '../system-errors.ts'
import type { Configuration } from './configuration.ts'

export interface ValueSource {
  readonly secret?: { readonly name: string; readonly key: string }
  readonly file?: { readonly path: string }
  readonly env?: { readonly name: string }
}

/** Errors name the reference, never the value. */
export function readValue(
  source: ValueSource,
  namespace: string,
  { directory, manifests }: Configuration,
): Result<string, string> {
  if (source.secret) {
    const { name, key } = source.secret
    const secret = manifests.secrets.find(
      (candidate) => candidate.metadata.name === name && candidate.metadata.namespace === namespace,
    )
    const value = secret?.data[key]
    if (value !== undefined) return { ok: true, value }
    return {
      ok: false,
      error: secret
        ? `Secret ${namespace}/${name} has no key ${key}`
        : `there is no Secret ${namespace}/${name}`,
    }
  }
  if (source.file) {
    try {
      return {
        ok: true,
        value: readFileSync(resolve(directory, source.file.path), 'utf8').replace(/\r?\n$/, ''),
      }
    } catch (error) {
      return {
        ok: false,
        error: `the file ${source.file.path} can't be read: ${inWords(error)}`,
      }
    }
  }
  const name = source.env?.name ?? ''
  const value = process.env[name]
  return value === undefined
    ? { ok: false, error: `the environment variable ${name} is not set` }
    : { ok: true, value }
}
