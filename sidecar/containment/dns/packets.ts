/** Questions and answers as they may pass: everything is written anew, so that nothing rides along. */
import {
  type Answer,
  decode,
  encode,
  type Packet,
  type Question,
  RECURSION_DESIRED,
  type StringAnswer,
} from 'dns-packet'

export type ReadQuestion =
  | {
      readonly kind: 'question'
      readonly id: number
      readonly question: Question
      /** How long an answer by UDP the client takes, in bytes. RFC 6891 */
      readonly size: number
    }
  /** There is somebody to tell. */
  | { readonly kind: 'invalid'; readonly id: number }
  | { readonly kind: 'nonsense' }

/** Without EDNS. RFC 1035 section 4.2.1 */
const plainSize = 512
/** Passes everywhere in one piece. DNS Flag Day 2020 */
export const largestDatagram = 1_232
const headerLength = 12

export const responseCodes = {
  noError: 0,
  formatError: 1,
  serverFailure: 2,
  noSuchName: 3,
  refused: 5,
} as const

export function readQuestion(bytes: Buffer): ReadQuestion {
  if (bytes.length < headerLength || ((bytes[2] ?? 0) & 0x80) !== 0) return { kind: 'nonsense' }
  const invalid = { kind: 'invalid', id: bytes.readUInt16BE(0) } as const
  // one question, no answers, an additional record at most: it is EDNS
  const [questions, answers, authorities, additionals] = [4, 6, 8, 10].map((at) => bytes.readUInt16BE(at))
  if (questions !== 1 || answers !== 0 || authorities !== 0 || (additionals ?? 0) > 1) return invalid
  const packet = decoded(bytes)
  const [question] = packet?.questions ?? []
  if (!packet || !question || packet.opcode !== 'QUERY' || question.class !== 'IN') return invalid
  const options = packet.additionals?.find(({ type }) => type === 'OPT')
  const size = options && 'udpPayloadSize' in options ? options.udpPayloadSize : plainSize
  return {
    kind: 'question',
    id: invalid.id,
    question,
    size: Math.min(Math.max(size, plainSize), largestDatagram),
  }
}

function decoded(
  bytes: Buffer,
): (Packet & { readonly opcode?: string; readonly rcode?: string }) | undefined {
  try {
    return decode(bytes)
  } catch {
    return undefined
  }
}

/** The question as the cluster's resolver is asked: in lower case and without options, which could spell something. */
export function writeQuestion(id: number, { name, type }: Question): Buffer {
  return encode({
    type: 'query',
    id,
    flags: RECURSION_DESIRED,
    questions: [{ name: name.toLowerCase(), type, class: 'IN' }],
    additionals: [
      {
        name: '.',
        type: 'OPT',
        udpPayloadSize: largestDatagram,
        flags: 0,
        flag_do: false,
        extendedRcode: 0,
        ednsVersion: 0,
        options: [],
      },
    ],
  })
}

export type ReadAnswer =
  | { readonly kind: 'answer'; readonly code: number; readonly records: readonly Answer[] }
  | { readonly kind: 'truncated' }
  /** Not to this question: whoever sent it, the right one may still come. */
  | { readonly kind: 'other' }

const passing: ReadonlySet<string> = new Set(['A', 'AAAA', 'CNAME', 'SRV', 'PTR'])
const mostRecords = 64
const passingCodes: ReadonlySet<number> = new Set([responseCodes.noError, responseCodes.noSuchName])

/** @returns of what the resolver says only what answers the question. */
export function readAnswer(bytes: Buffer, id: number, asked: Question): ReadAnswer {
  if (bytes.length < headerLength || bytes.readUInt16BE(0) !== id || ((bytes[2] ?? 0) & 0x80) === 0)
    return { kind: 'other' }
  const packet = decoded(bytes)
  const [question] = packet?.questions ?? []
  const name = asked.name.toLowerCase()
  if (!packet || question?.name.toLowerCase() !== name || question.type !== asked.type)
    return { kind: 'other' }
  if (((bytes[2] ?? 0) & 0x02) !== 0) return { kind: 'truncated' }
  const code = (bytes[3] ?? 0) & 0x0f
  if (!passingCodes.has(code)) return { kind: 'answer', code: responseCodes.serverFailure, records: [] }
  return { kind: 'answer', code, records: answering(name, packet.answers ?? []).slice(0, mostRecords) }
}

/** Records of the name, and of the names that it is an alias of. */
function answering(name: string, answers: readonly Answer[]): Answer[] {
  const names = new Set([name])
  return answers.filter((answer) => {
    if (!passing.has(answer.type) || !names.has(answer.name.toLowerCase())) return false
    if (isAlias(answer)) names.add(answer.data.toLowerCase())
    return true
  })
}

function isAlias(answer: Answer): answer is StringAnswer & { type: 'CNAME' } {
  return answer.type === 'CNAME'
}

export function addressesIn(records: readonly Answer[]): string[] {
  return records.flatMap((record) => (record.type === 'A' || record.type === 'AAAA' ? [record.data] : []))
}

/** With the name in the client's own letters, which it may hold against its question. */
export function writeAnswer(
  id: number,
  question: Question | undefined,
  code: number,
  records: readonly Answer[] = [],
): Buffer {
  const bytes = encode({
    type: 'response',
    id,
    flags: RECURSION_DESIRED | recursionAvailable | code,
    questions: question ? [question] : [],
    answers: records.map((record) =>
      record.name.toLowerCase() === question?.name.toLowerCase()
        ? { ...record, name: question.name }
        : record,
    ),
  })
  return bytes
}

/** The answer, or where it is too long for a datagram, that it is: the client asks again by TCP. */
export function fitted(answer: Buffer, question: Question, size: number): Buffer {
  if (answer.length <= size) return answer
  const short = writeAnswer(answer.readUInt16BE(0), question, responseCodes.noError)
  short.writeUInt8(short.readUInt8(2) | 0x02, 2)
  return short
}

const recursionAvailable = 0x80
