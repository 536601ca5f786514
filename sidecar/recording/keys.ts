/** The keys of recordings: who can read them, and who vouches for them. */
import { randomBytes } from 'node:crypto'

/** @returns the age recipients that are none, of those given. */
export async function wrongRecipients(recipients: readonly string[]): Promise<readonly string[]> {
  const { Encrypter } = await import('age-encryption')
  return recipients.filter((recipient) => {
    try {
      new Encrypter().addRecipient(recipient)
      return false
    } catch {
      return true
    }
  })
}

/** A recording's own secret, and what its header says of it. */
export interface WrappedSecret {
  readonly secret: Uint8Array
  /** An age file for the recipients, in base64. */
  readonly key: string
}

/** @param recipients public keys as age writes them (`age1…`). @throws Error when one is none. */
export async function newSecret(recipients: readonly string[]): Promise<WrappedSecret> {
  const { Encrypter } = await import('age-encryption')
  const encrypter = new Encrypter()
  for (const recipient of recipients) encrypter.addRecipient(recipient)
  const secret = randomBytes(32)
  return { secret, key: Buffer.from(await encrypter.encrypt(secret)).toString('base64') }
}

/** @returns undefined when none of the private keys is for it. */
export async function unwrapSecret(
  key: string,
  identities: readonly string[],
): Promise<Uint8Array | undefined> {
  const { Decrypter } = await import('age-encryption')
  const decrypter = new Decrypter()
  for (const identity of identities) decrypter.addIdentity(identity)
  return await decrypter.decrypt(Buffer.from(key, 'base64')).catch(() => undefined)
}

/** Private keys in a file as age-keygen writes it: one a line, and comments. */
export function parseIdentities(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
}

/** @returns the public keys of private ones. */
export async function recipientsOf(identities: readonly string[]): Promise<ReadonlySet<string>> {
  const { identityToRecipient } = await import('age-encryption')
  const recipients = identities.map((identity) => identityToRecipient(identity).catch(() => undefined))
  return new Set((await Promise.all(recipients)).filter((recipient) => recipient !== undefined))
}
