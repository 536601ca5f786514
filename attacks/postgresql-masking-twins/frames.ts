import { decodeRowDescription } from '@firebreak/sidecar/protocols/postgresql/codec/server-messages.ts'
import type { ReceivedFrame } from '../../test/raw-client.ts'

/** OIDs below are PostgreSQL's own, and the same everywhere. */
const firstUserOid = 16_384

/** Frames as text, without what differs between any two sessions: OIDs of tables and types, process numbers, references. */
export function comparable(frames: readonly ReceivedFrame[]): string[] {
  return frames.map(({ type, bytes }) => {
    if (type === 'T') {
      const columns = decodeRowDescription(bytes, 0, bytes.length) ?? []
      return `T ${JSON.stringify(
        columns.map(({ tableOid, typeOid, ...column }) => ({
          ...column,
          tableOid: tableOid < firstUserOid ? tableOid : 'own',
          typeOid: typeOid < firstUserOid ? typeOid : 'own',
        })),
      )}`
    }
    return `${type} ${bytes
      .subarray(type === 'A' ? 9 : 5)
      .toString('latin1')
      .replace(/Reference \w{26}/g, 'Reference')}`
  })
}
