/**
 * Sessions of MCP servers are known by a name that clients send along. Behind the gateway all come with the same credential, so
 * the name that an agent gets is good for that agent alone: it has a seal of who was given it.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { Whose } from '../../exchange/conversation.ts'
import type { HeaderFields } from '../../request.ts'

export const sessionHeader = 'mcp-session-id'
const mark = '.'

export function sealed(headers: HeaderFields, whose: Whose): HeaderFields {
  return headers.map(([name, value]) =>
    name === sessionHeader ? [name, `${value}${mark}${sealOf(value, whose)}`] : [name, value],
  )
}

/** @returns the headers as the server has said them; undefined where the session is of somebody else, or of nobody. */
export function unsealed(headers: HeaderFields, whose: Whose): HeaderFields | undefined {
  const opened = headers.map(([name, value]): readonly [string, string] | undefined => {
    if (name !== sessionHeader) return [name, value]
    const at = value.lastIndexOf(mark)
    const id = value.slice(0, Math.max(at, 0))
    return isSame(value.slice(at + 1), sealOf(id, whose)) ? [name, id] : undefined
  })
  return opened.every((header) => header !== undefined) ? opened : undefined
}

function sealOf(id: string, { owner, key }: Whose): string {
  return createHmac('sha256', key)
    .update(JSON.stringify(['mcp-session', owner, id]))
    .digest('base64url')
}

function isSame(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one), Buffer.from(other)]
  return a.length === b.length && timingSafeEqual(a, b)
}
