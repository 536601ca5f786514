/** The keys that an installation makes for itself, where nobody gave it others. */
import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { inWords } from '../system-errors.ts'
import { nameOfSigner } from './header.ts'
import { parseIdentities } from './keys.ts'

/** Files of the directory of keys. */
export const keyFiles = { signer: 'signer.pem', trusted: 'signer.pub', reader: 'reader.txt' } as const

/** The key that signs this installation's recordings, made at its first use. @throws Error in words. */
export async function ownSigner(directory: string): Promise<KeyObject> {
  const path = join(directory, keyFiles.signer)
  const pem = await readOrMake(path, async () =>
    generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  )
  const signer = readSigner(pem, path)
  await readOrMake(join(directory, keyFiles.trusted), async () => `${nameOfSigner(signer)}\n`)
  return signer
}

/** @param pem an Ed25519 private key. @throws Error in words. */
export function readSigner(pem: string, path: string): KeyObject {
  try {
    const key = createPrivateKey(pem)
    if (key.asymmetricKeyType === 'ed25519') return key
  } catch {
    // no key at all
  }
  throw new Error(`${path} is no Ed25519 private key in PEM`)
}

/** Who can read this installation's recordings where nobody else was named. @throws Error in words. */
export async function ownRecipient(directory: string): Promise<string> {
  const { generateX25519Identity, identityToRecipient } = await import('age-encryption')
  const path = join(directory, keyFiles.reader)
  const text = await readOrMake(path, async () => {
    const identity = await generateX25519Identity()
    return `# reads the recordings of sessions\n# public key: ${await identityToRecipient(identity)}\n${identity}\n`
  })
  const [identity] = parseIdentities(text)
  if (identity === undefined) throw new Error(`${path} holds no key`)
  return await identityToRecipient(identity).catch(() => {
    throw new Error(`${path} holds no key that age knows`)
  })
}

/** What is there stays: of two processes that make it at once, both use the first one's. */
async function readOrMake(path: string, make: () => Promise<string>): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw new Error(`${path}: ${inWords(error)}`)
  }
  try {
    await mkdir(join(path, '..'), { recursive: true, mode: 0o700 })
    await writeFile(path, await make(), { mode: 0o600, flag: 'wx', flush: true })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw new Error(`${path}: ${inWords(error)}`)
  }
  return await readFile(path, 'utf8')
}
