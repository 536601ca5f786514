/** Baselines as files of the sidecar's own folder, one for each identity. */
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { QualifiedName } from '@firebreak/policy'
import { replaceFile } from '../approvals/request-file.ts'
import type { Result } from '../session.ts'
import type { KeptBaseline } from './baseline.ts'

const version = 1

export class BaselineFiles {
  readonly #directory: string

  /** @param own a folder that nobody else can write to. @throws the system's error. */
  constructor(own: string) {
    this.#directory = join(own, 'baselines')
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 })
  }

  /** @returns undefined where there is none; why it can't be read otherwise. */
  read(identity: QualifiedName): Result<KeptBaseline | undefined, string> {
    const path = this.#path(identity)
    try {
      const kept = JSON.parse(readFileSync(path, 'utf8')) as { v?: unknown; baseline?: KeptBaseline }
      if (kept.v === version && isBaseline(kept.baseline)) return { ok: true, value: kept.baseline }
      return { ok: false, error: `${path} is not of this version` }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { ok: true, value: undefined }
      return { ok: false, error: `${path} can't be read: ${error instanceof Error ? error.message : error}` }
    }
  }

  /** @throws the system's error. */
  async write(identity: QualifiedName, baseline: KeptBaseline): Promise<void> {
    await replaceFile(this.#path(identity), `${JSON.stringify({ v: version, baseline })}\n`, 0o600)
  }

  /** Names of objects of the API hold no underscore. */
  #path(identity: QualifiedName): string {
    return join(this.#directory, `${identity.replace('/', '_')}.json`)
  }
}

function isBaseline(kept: KeptBaseline | undefined): kept is KeptBaseline {
  return (
    kept !== undefined &&
    [kept.since, kept.lastSeen].every(Number.isFinite) &&
    [kept.names, kept.unmasked, kept.harvested, kept.peaks].every(Array.isArray)
  )
}
