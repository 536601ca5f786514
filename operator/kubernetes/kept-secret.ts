/** A text that all replicas share, in a Secret of the operator's namespace: made once, by whichever is first. */
import { ApiError, type KubernetesClient } from './client.ts'
import { secrets } from './objects.ts'

export interface SecretPlace {
  readonly namespace: string
  /** Of the Secret. */
  readonly name: string
}

/** @param make of the text, where there is no Secret. @returns the empty text where the Secret hasn't that field. */
export async function keptSecret(
  client: KubernetesClient,
  place: SecretPlace,
  field: string,
  make: () => string | Promise<string>,
): Promise<string> {
  const { name, namespace } = place
  const stored = await client.get(secrets, name, namespace)
  if (stored) return Buffer.from(stored.data?.[field] ?? '', 'base64').toString()
  const text = await make()
  try {
    await client.create(secrets, {
      metadata: { name, namespace },
      type: 'Opaque',
      data: { [field]: Buffer.from(text).toString('base64') },
    })
    return text
  } catch (error) {
    // another replica was faster: its text is the one
    if (!(error instanceof ApiError && error.status === 409)) throw error
    return await keptSecret(client, place, field, make)
  }
}
