/** What the demo's gateway has recorded. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { keyFiles } from '@firebreak/sidecar/recording/installation-keys.ts'
import { DirectoryStore } from '@firebreak/sidecar/recording/stores/directory.ts'
import { verifyRecording } from '@firebreak/sidecar/recording/verify.ts'
import { style } from '../output.ts'

/** @param directory of the manifests. */
export async function showRecordings(directory: string): Promise<void> {
  const signer = readFileSync(join(directory, 'recording-keys', keyFiles.trusted), 'utf8').trim()
  await using store = await DirectoryStore.open(join(directory, 'recordings'))
  console.log(style('bold', '\nThe session is recorded, as the agent saw it, encrypted and signed:'))
  for await (const { id, bytes } of store.list())
    for (let turn = 0; turn < 1_500; turn++) {
      await using source = await store.open(id)
      const verified = source && (await verifyRecording(source, id, [signer]))
      // its end is written in the background
      if (verified?.state !== 'whole') {
        await delay(20)
        continue
      }
      const { commands, blocks } = verified.proven
      console.log(
        `  ${style('green', 'whole'.padEnd(6))} ${id}  ${commands} commands in ${blocks} blocks, ${bytes} bytes`,
      )
      break
    }
}
