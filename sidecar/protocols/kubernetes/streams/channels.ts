/** Streams of exec and attach as channels of one WebSocket: the first byte of a message says of which one it is. */
import type { TerminalSize } from '../../terminals.ts'

/** The same but for {@link channels.close}, which only the later one has. */
export const channelProtocols = ['v5.channel.k8s.io', 'v4.channel.k8s.io'] as const

export type ChannelProtocol = (typeof channelProtocols)[number]

export const channels = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4, close: 255 } as const

export interface ChannelData {
  readonly channel: number
  readonly bytes: Buffer
}

/** @returns undefined for a message without a channel. */
export function readChannel(message: Buffer): ChannelData | undefined {
  const [channel] = message
  return channel === undefined ? undefined : { channel, bytes: message.subarray(1) }
}

export function writeChannel({ channel, bytes }: ChannelData): Buffer {
  return Buffer.concat([Buffer.of(channel), bytes])
}

const largest = 65_535

/** @returns undefined for what is no size of a terminal. */
export function readSize(bytes: Buffer): TerminalSize | undefined {
  let size: unknown
  try {
    size = JSON.parse(bytes.toString())
  } catch {
    return undefined
  }
  if (typeof size !== 'object' || size === null) return undefined
  const { Width: columns, Height: rows } = size as Readonly<Record<string, unknown>>
  return isLength(columns) && isLength(rows) ? { columns, rows } : undefined
}

function isLength(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= largest
}

export function writeSize({ columns, rows }: TerminalSize): Buffer {
  return Buffer.from(JSON.stringify({ Width: columns, Height: rows }))
}
