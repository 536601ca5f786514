import { parseArgs } from 'node:util'
import type { RecordingStore } from '@firebreak/sidecar/recording/store.ts'
import { type Verification, verifyRecording } from '@firebreak/sidecar/recording/verify.ts'
import { type CliCommand, UsageError } from '../command.ts'
import { style } from '../output.ts'
import { openPlace, placeHelp, placeOptions, trustedSigners } from './place.ts'

export const verify: CliCommand = {
  name: 'verify',
  summary: 'prove recordings whole, in order and unaltered',
  options: [...Object.keys(placeOptions), 'signer', 'all', 'json'],
  help: `Proves recordings whole, in order and unaltered. It needs no key to read them.

Usage: firebreak sessions verify (ID… | --all) [--recordings PLACE | --config DIR | --state DIR] [--signer KEY]…
       [--json]

  --all             all recordings that are there
${placeHelp}
  --signer KEY      the public key that must have signed, as the audit line of a recording's start names it; may be
                    repeated (default: the runner's own, from its recording-keys, where --config or --state is given)
  --json            a JSON object per recording

Exit code 0: all are whole. 1: one is altered, has no end, or is not there.`,
  async run(words) {
    const { values, positionals } = parseArgs({
      args: [...words],
      allowPositionals: true,
      options: {
        ...placeOptions,
        signer: { type: 'string', multiple: true },
        all: { type: 'boolean' },
        json: { type: 'boolean' },
      },
    })
    if (positionals.length === 0 && !values.all)
      throw new UsageError('verify takes names of recordings, or --all')
    const trusted = trustedSigners(values, values.signer ?? [])
    await using store = await openPlace(values)
    let whole = true
    for await (const id of values.all ? idsOf(store) : positionals) {
      const verification = await verifyOne(store, id, trusted)
      whole &&= verification?.state === 'whole'
      if (values.json)
        console.log(JSON.stringify({ recording: id, ...(verification ?? { state: 'missing' }) }))
      else console.log(inWords(id, verification, trusted !== undefined))
    }
    return whole ? 0 : 1
  },
}

async function* idsOf(store: RecordingStore): AsyncGenerator<string> {
  for await (const { id } of store.list()) yield id
}

async function verifyOne(
  store: RecordingStore,
  id: string,
  trusted: readonly string[] | undefined,
): Promise<Verification | undefined> {
  await using source = await store.open(id)
  return source && (await verifyRecording(source, id, trusted))
}

function inWords(id: string, verification: Verification | undefined, trusts: boolean): string {
  if (!verification) return `${id}: ${style('red', 'not there')}`
  const { state, proven } = verification
  const extent =
    proven && `${proven.blocks} blocks, ${proven.commands} commands, ${proven.microseconds / 1_000_000} s`
  switch (state) {
    case 'whole': {
      const by = trusts
        ? ''
        : `; signed by ${verification.proven.header.signer}: hold that against the audit trail`
      return `${id}: ${style('green', 'whole')}, unaltered (${extent})${by}`
    }
    case 'unfinished': {
      const rest = verification.rest > 0 ? `; ${verification.rest} bytes of another block follow` : ''
      return `${id}: ${style('yellow', 'no end')}: it is being written, the gateway was killed, or its end was cut off; what is there is unaltered (${extent})${rest}`
    }
    case 'broken': {
      const { block, position, length, what } = verification.fault
      const before = extent === undefined ? 'nothing before it' : `before it all is unaltered (${extent})`
      return `${id}: ${style('red', 'altered')} in block ${block}, within bytes ${position} to ${position + length - 1}: ${what}; ${before}`
    }
  }
}
