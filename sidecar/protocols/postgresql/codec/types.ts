/** Type bytes of protocol 3. https://www.postgresql.org/docs/current/protocol-message-formats.html */
import type { FrameRules } from './frame-reader.ts'

const code = (letter: string): number => letter.charCodeAt(0)

export const fromClient = {
  bind: code('B'),
  close: code('C'),
  describe: code('D'),
  execute: code('E'),
  functionCall: code('F'),
  flush: code('H'),
  parse: code('P'),
  query: code('Q'),
  sync: code('S'),
  terminate: code('X'),
  copyDone: code('c'),
  copyData: code('d'),
  copyFail: code('f'),
  password: code('p'),
} as const

export const fromServer = {
  parseComplete: code('1'),
  bindComplete: code('2'),
  closeComplete: code('3'),
  notification: code('A'),
  commandComplete: code('C'),
  dataRow: code('D'),
  error: code('E'),
  copyIn: code('G'),
  copyOut: code('H'),
  emptyQuery: code('I'),
  backendKey: code('K'),
  notice: code('N'),
  authentication: code('R'),
  parameterStatus: code('S'),
  rowDescription: code('T'),
  functionResult: code('V'),
  copyBoth: code('W'),
  ready: code('Z'),
  copyDone: code('c'),
  copyData: code('d'),
  noData: code('n'),
  portalSuspended: code('s'),
  parameterDescription: code('t'),
  negotiateVersion: code('v'),
} as const

const small = 64 * 1024
const large = 64 * 1024 * 1024
/** What the server itself allows (`PQ_LARGE_MESSAGE_LIMIT`); such frames are passed in pieces or refused by the one who needs them whole. */
const bulk = 0x3fffffff

function rules(
  lengths: readonly (readonly [type: number, maximum: number])[],
  streamable: readonly number[],
): FrameRules {
  const maximums = new Map(lengths)
  const table = Array.from({ length: 256 }, (_, type) => maximums.get(type))
  return { maximumLength: (type) => table[type], mayStream: (type) => streamable.includes(type) }
}

const c = fromClient
/**
 * Nothing from clients is streamed. Whether CopyData goes on or is dropped depends on what the server says meanwhile; if
 * that changed within a frame, its rest would be taken for messages, or messages for its rest.
 */
export const clientRules = rules(
  [
    [c.bind, large],
    [c.close, small],
    [c.describe, small],
    [c.execute, small],
    [c.functionCall, large],
    [c.flush, 4],
    [c.parse, large],
    [c.query, large],
    [c.sync, 4],
    [c.terminate, 4],
    [c.copyDone, 4],
    [c.copyData, large],
    [c.copyFail, small],
    [c.password, small],
  ],
  [],
)

const s = fromServer
export const serverRules = rules(
  [
    [s.parseComplete, 4],
    [s.bindComplete, 4],
    [s.closeComplete, 4],
    [s.notification, small],
    [s.commandComplete, small],
    [s.dataRow, bulk],
    [s.error, large],
    [s.copyIn, small],
    [s.copyOut, small],
    [s.emptyQuery, 4],
    [s.backendKey, small],
    [s.notice, large],
    [s.authentication, small],
    [s.parameterStatus, large],
    [s.rowDescription, large],
    [s.functionResult, bulk],
    [s.copyBoth, small],
    [s.ready, 5],
    [s.copyDone, 4],
    [s.copyData, bulk],
    [s.noData, 4],
    [s.portalSuspended, 4],
    [s.parameterDescription, 1024 * 1024],
    [s.negotiateVersion, small],
  ],
  [s.dataRow, s.copyData],
)
