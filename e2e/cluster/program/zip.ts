/** Reads ZIP archives (PKWARE APPNOTE 6.3, without ZIP64): the one format of the Go module proxy. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { inflateRawSync } from 'node:zlib'

export interface UnzipOptions {
  /** Beginning of every name in the archive that is left out. */
  readonly strip: string
  /** Names of files that become executable: module archives carry no modes. */
  readonly executable: RegExp
}

export function unzip(archive: Buffer, directory: string, { strip, executable }: UnzipOptions): void {
  for (const { name, contents } of entries(archive)) {
    if (!name.startsWith(strip) || name.endsWith('/')) continue
    const path = join(directory, normalize(`/${name.slice(strip.length)}`))
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, contents(), { mode: executable.test(path.slice(directory.length)) ? 0o755 : 0o644 })
  }
}

interface Entry {
  readonly name: string
  contents(): Buffer
}

function* entries(archive: Buffer): Generator<Entry> {
  const end = archive.lastIndexOf('PK\x05\x06', undefined, 'latin1')
  if (end < 0) throw new Error('Not a ZIP archive')
  const count = archive.readUInt16LE(end + 10)
  let at = archive.readUInt32LE(end + 16)
  for (let index = 0; index < count; index++) {
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((field) =>
      archive.readUInt16LE(at + field),
    ) as [number, number, number]
    const method = archive.readUInt16LE(at + 10)
    const size = archive.readUInt32LE(at + 20)
    const local = archive.readUInt32LE(at + 42)
    const name = archive.toString('utf8', at + 46, at + 46 + nameLength)
    yield { name, contents: () => contents(archive, local, size, method) }
    at += 46 + nameLength + extraLength + commentLength
  }
}

function contents(archive: Buffer, local: number, size: number, method: number): Buffer {
  const start = local + 30 + archive.readUInt16LE(local + 26) + archive.readUInt16LE(local + 28)
  const data = archive.subarray(start, start + size)
  return method === 0 ? data : inflateRawSync(data)
}
