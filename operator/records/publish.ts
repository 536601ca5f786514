/** What people need to look at recordings, for who may read it: where they are, and by which key they are verified. No credential. */
import { placeInWords } from '@firebreak/sidecar/recording/target.ts'
import type { KubernetesClient } from '../kubernetes/client.ts'
import { configMaps } from '../kubernetes/objects.ts'
import type { Records } from './records.ts'

/** The ConfigMap in the operator's namespace, and its fields. */
export const published = {
  name: 'firebreak-recordings',
  place: 'place',
  authority: 'authority',
  recipients: 'recipients',
} as const

export async function publishRecordings(
  client: KubernetesClient,
  namespace: string,
  { targets: { recordings }, authority }: Records,
): Promise<void> {
  if (!recordings) return
  await client.apply(configMaps, {
    metadata: { name: published.name, namespace },
    data: {
      [published.place]: placeInWords(recordings.target),
      [published.authority]: authority,
      [published.recipients]: recordings.recipients.join('\n'),
    },
  })
}
