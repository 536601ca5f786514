/** The installation's key that vouches for the keys that sign recordings: in a Secret that all replicas read, made once. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { privateKeyOf } from '@firebreak/sidecar/recording/voucher.ts'
import { ApiError, type KubernetesClient } from '../kubernetes/client.ts'
import { secrets } from '../kubernetes/objects.ts'

const field = 'authority.key'

export interface AuthorityPlace {
  readonly namespace: string
  /** Of the Secret. */
  readonly name: string
}

/** @throws Error in words when what is there is no such key: a new one would make all recordings so far strangers'. */
export async function recordingAuthority(
  client: KubernetesClient,
  place: AuthorityPlace,
): Promise<KeyObject> {
  const { name, namespace } = place
  const stored = await client.get(secrets, name, namespace)
  if (stored) {
    try {
      return privateKeyOf(Buffer.from(stored.data?.[field] ?? '', 'base64').toString())
    } catch {
      throw new Error(`Secret ${namespace}/${name} holds no Ed25519 key as ${field}`)
    }
  }
  const { privateKey } = generateKeyPairSync('ed25519')
  try {
    await client.create(secrets, {
      metadata: { name, namespace },
      type: 'Opaque',
      data: { [field]: Buffer.from(packed(privateKey)).toString('base64') },
    })
    return privateKey
  } catch (error) {
    // another replica was faster: its key is the one
    if (!(error instanceof ApiError && error.status === 409)) throw error
    return await recordingAuthority(client, place)
  }
}

/** PKCS #8 in base64. */
export function packed(key: KeyObject): string {
  return key.export({ format: 'der', type: 'pkcs8' }).toString('base64')
}
