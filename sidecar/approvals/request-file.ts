/** A request as a YAML file. */
import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { type ApprovalRequest, loadManifests } from '@firebreak/crds'
import { stringify } from 'yaml'
import type { Result } from '../session.ts'

/** More than any request of the API's bounds takes. */
export const maximumFileLength = 4 * 1024 * 1024

/** The request in the form in which it is read again, with every default filled in. */
export function canonical(request: ApprovalRequest): ApprovalRequest {
  const parsed = parseRequest(formatRequest(request))
  if (!parsed.ok) throw new Error(`the request ${request.metadata.name} is not valid: ${parsed.error}`)
  return parsed.value
}

export function formatRequest(request: ApprovalRequest): string {
  const plain = JSON.parse(JSON.stringify(request)) as ApprovalRequest
  const text = stringify(plain, { lineWidth: 0 })
  // YAML is rich; a text that it would not give back exactly is written as JSON, which it includes
  const parsed = parseRequest(text)
  return parsed.ok && isDeepStrictEqual(parsed.value.spec.command, plain.spec.command)
    ? text
    : `${JSON.stringify(plain, undefined, 2)}\n`
}

export function parseRequest(text: string): Result<ApprovalRequest, string> {
  const { manifests, problems } = loadManifests([{ path: 'request', text }])
  const [problem] = problems
  if (problem)
    return { ok: false, error: `${problem.field === '' ? '' : `${problem.field}: `}${problem.message}` }
  const [request, ...more] = manifests.approvals
  const others = manifests.identities.length + manifests.policies.length + manifests.resources.length
  return request && more.length + others + manifests.secrets.length === 0
    ? { ok: true, value: request }
    : { ok: false, error: 'expected exactly one ApprovalRequest' }
}

/** Tells one version of a file from another. */
export interface FileVersion {
  readonly inode: bigint
  readonly modified: bigint
  readonly size: bigint
}

export function sameVersion(a: FileVersion | undefined, b: FileVersion | undefined): boolean {
  return a?.inode === b?.inode && a?.modified === b?.modified && a?.size === b?.size
}

/**
 * Replaces a file in one step: whoever reads it sees the old or the new one, whole, even after a power failure.
 *
 * @returns the version that is written, as it is known before anybody else can have changed it.
 */
export async function replaceFile(path: string, text: string, mode: number): Promise<FileVersion> {
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}`)
  const file = await open(
    temporary,
    constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
    mode,
  )
  try {
    await file.chmod(mode)
    await file.writeFile(text)
    await file.sync()
    const version = await versionOf(file)
    await rename(temporary, path)
    await syncDirectory(dirname(path))
    return version
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  } finally {
    await file.close()
  }
}

export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY)
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

async function versionOf(file: FileHandle): Promise<FileVersion> {
  const { ino, mtimeNs, size } = await file.stat({ bigint: true })
  return { inode: ino, modified: mtimeNs, size }
}

export interface WrittenFile {
  readonly text: string
  readonly owner: number
  /** Why its owner is not proven to be who wrote it. */
  readonly doubt: string | undefined
}

/** Reads what somebody has written, without following it elsewhere. @throws Error with a reason. */
export async function readWritten(path: string): Promise<WrittenFile> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  try {
    const stats = await file.stat()
    if (!stats.isFile()) throw new Error('it is not a regular file')
    if (stats.size > maximumFileLength) throw new Error('it is too long')
    const bytes = Buffer.alloc(stats.size)
    const { bytesRead } = await file.read(bytes, 0, stats.size, 0)
    const doubt =
      stats.nlink > 1
        ? 'it has a second name (hard link), so others may have put it here'
        : (stats.mode & 0o022) !== 0
          ? 'others than its owner can write to it, so who wrote it is not known; take that right away with chmod go-w'
          : undefined
    return { text: bytes.toString('utf8', 0, bytesRead), owner: stats.uid, doubt }
  } finally {
    await file.close()
  }
}
