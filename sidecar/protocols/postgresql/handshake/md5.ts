import { createHash } from 'node:crypto'

/** The answer to AuthenticationMD5Password. https://www.postgresql.org/docs/current/protocol-flow.html */
export function md5Response(username: string, password: string, salt: Buffer): string {
  const md5 = (...parts: (string | Buffer)[]): string =>
    parts.reduce((hash, part) => hash.update(part), createHash('md5')).digest('hex')
  return `md5${md5(md5(password, username), salt)}`
}
