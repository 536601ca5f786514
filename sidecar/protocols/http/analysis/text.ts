/** Requests as people write them, to be explained and tested. */
import type { Command } from '@firebreak/policy'
import type { Result } from '../../../session.ts'
import { readHead } from '../head/head.ts'
import type { HttpRequest } from '../request.ts'
import type { Meaning } from './meaning.ts'

/** A request with what upgrades it. */
interface Written {
  readonly request: HttpRequest
  readonly upgrades: boolean
}

/** @returns what a request does, or why the gateway would refuse it before any policy is asked, in words. */
export function commandOfText(text: string, meaning: Meaning): Result<Command, string> {
  const written = requestOfText(text)
  if (!written.ok) return written
  return { ok: true, value: meaning.commandOf(written.value.request, written.value.upgrades) }
}

/**
 * `GET /users?sort=name`, with or without a version of HTTP, then headers, each in a line of its own, then an empty line and the body, as far as there are any.
 *
 * @returns why the gateway would refuse it before any policy is asked, in words.
 */
export function requestOfText(text: string): Result<Written, string> {
  const [head = '', ...rest] = text.trim().split(/\r?\n\r?\n/)
  const [line = '', ...headers] = head.split(/\r?\n/)
  const [method = '', url = '', ...more] = line.split(' ')
  const [version = 'HTTP/1.1', ...others] = more
  if (url === '' || others.length > 0 || !/^HTTP\/[0-9.]+$/.test(version) || method !== method.toUpperCase())
    return { ok: false, error: 'a request is written as its method and path, as in GET /users' }
  const rawHeaders: string[] = []
  for (const header of headers) {
    const colon = header.indexOf(':')
    if (colon < 1) return { ok: false, error: `${header} is no header` }
    rawHeaders.push(header.slice(0, colon), header.slice(colon + 1).trim())
  }
  if (!headers.some((header) => /^host:/i.test(header))) rawHeaders.push('host', 'localhost')
  const parsed = readHead({ method, url, httpVersion: '1.1', rawHeaders })
  if (!parsed.ok) return { ok: false, error: parsed.error.message }
  const body = rest.length > 0 ? Buffer.from(rest.join('\n\n')) : undefined
  const upgrades = parsed.value.headers.some(
    ([name, value]) => name === 'upgrade' && value.toLowerCase() === 'websocket',
  )
  return { ok: true, value: { request: { ...parsed.value, ...(body && { body }) }, upgrades } }
}
