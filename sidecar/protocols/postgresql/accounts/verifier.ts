/** What a server keeps of a password, made here so that the password never stands in a statement or the server's log. */
import { createHash, createHmac, pbkdf2, randomBytes } from 'node:crypto'
import { promisify } from 'node:util'

const derive = promisify(pbkdf2)
/** The server's own default. The passwords are random and long, so more would only cost time. */
const iterations = 4_096

/**
 * @param password of ASCII characters, which SASLprep leaves as they are.
 * @returns the form of `pg_authid.rolpassword`: https://www.postgresql.org/docs/current/catalog-pg-authid.html
 */
export async function scramVerifier(password: string, salt: Buffer = randomBytes(16)): Promise<string> {
  const salted = await derive(password, salt, iterations, 32, 'sha256')
  const keyed = (name: string): Buffer => createHmac('sha256', salted).update(name).digest()
  const storedKey = createHash('sha256').update(keyed('Client Key')).digest()
  const parts = [storedKey, keyed('Server Key')].map((key) => key.toString('base64'))
  return `SCRAM-SHA-256$${iterations}:${salt.toString('base64')}$${parts.join(':')}`
}
