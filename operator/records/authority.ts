/** The installation's key that vouches for the keys that sign recordings: in a Secret that all replicas read, made once. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { privateKeyOf } from '@firebreak/sidecar/recording/voucher.ts'
import type { KubernetesClient } from '../kubernetes/client.ts'
import { keptSecret, type SecretPlace } from '../kubernetes/kept-secret.ts'

const field = 'authority.key'

/** @throws Error in words when what is there is no such key: a new one would make all recordings so far strangers'. */
export async function recordingAuthority(client: KubernetesClient, place: SecretPlace): Promise<KeyObject> {
  const text = await keptSecret(client, place, field, () => packed(generateKeyPairSync('ed25519').privateKey))
  try {
    return privateKeyOf(text)
  } catch {
    throw new Error(`Secret ${place.namespace}/${place.name} holds no Ed25519 key as ${field}`)
  }
}

/** PKCS #8 in base64. */
export function packed(key: KeyObject): string {
  return key.export({ format: 'der', type: 'pkcs8' }).toString('base64')
}
