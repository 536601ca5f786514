import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A certificate for a host name, signed by itself: it is its own authority. PEM. */
export function selfSigned(host: string): { readonly certificate: string; readonly key: string } {
  const directory = mkdtempSync(join(tmpdir(), 'firebreak-certificate-'))
  const subject = ['-subj', `/CN=${host}`, '-addext', `subjectAltName=DNS:${host}`]
  try {
    execFileSync(
      'openssl',
      [
        'req',
        '-x509',
        '-newkey',
        'rsa:2048',
        '-nodes',
        '-days',
        '2',
        ...subject,
        '-keyout',
        'key',
        '-out',
        'crt',
      ],
      { cwd: directory, stdio: 'ignore' },
    )
    const read = (name: string): string => readFileSync(join(directory, name), 'utf8')
    return { certificate: read('crt'), key: read('key') }
  } finally {
    rmSync(directory, { recursive: true })
  }
}
