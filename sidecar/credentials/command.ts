/** A program that prints a credential. */
import { spawn } from 'node:child_process'
import type { Result } from '../session.ts'
import type { ProvidedCredential } from './provider.ts'

const timeout = 10_000
const maximumOutput = 64 * 1024

/**
 * Runs a program without a shell. It prints the password, or a JSON object with `username`, `password` and
 * `expiresAt` (RFC 3339). What it writes to standard error is not looked at: it might quote a secret.
 *
 * @param directory that relative paths start at.
 */
export async function runForCredential(
  [program = '', ...rest]: readonly string[],
  directory: string,
  milliseconds = timeout,
): Promise<Result<ProvidedCredential, string>> {
  const printed = await outputOf(program, rest, directory, milliseconds)
  return printed.ok ? parse(printed.value, program) : printed
}

function outputOf(
  program: string,
  rest: readonly string[],
  directory: string,
  milliseconds: number,
): Promise<Result<string, string>> {
  const { promise, resolve } = Promise.withResolvers<Result<string, string>>()
  const failed = (reason: string): void => resolve({ ok: false, error: `the program ${program} ${reason}` })
  // in a group of its own, so that what it started ends with it
  const child = spawn(program, rest, { cwd: directory, stdio: ['ignore', 'pipe', 'ignore'], detached: true })
  const end = (): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
    } catch {
      // it has ended by itself
    }
  }
  const timer = setTimeout(() => {
    failed(`took longer than ${milliseconds / 1000} s`)
    end()
  }, milliseconds)
  const chunks: Buffer[] = []
  let length = 0
  child.stdout.on('data', (chunk: Buffer) => {
    length += chunk.length
    chunks.push(chunk)
    if (length <= maximumOutput) return
    failed(`printed more than ${maximumOutput} bytes`)
    end()
  })
  child.on('error', (error: NodeJS.ErrnoException) => {
    clearTimeout(timer)
    failed(`can't be run (${error.code})`)
  })
  child.on('close', (code, signal) => {
    clearTimeout(timer)
    if (code === 0) resolve({ ok: true, value: Buffer.concat(chunks).toString('utf8') })
    else failed(signal === null ? `exited with code ${code}` : `was ended by ${signal}`)
  })
  return promise
}

function parse(output: string, program: string): Result<ProvidedCredential, string> {
  const wrong = (reason: string): Result<never, string> => ({
    ok: false,
    error: `the program ${program} printed ${reason}`,
  })
  const text = output.replace(/\r?\n$/, '')
  if (text === '') return wrong('nothing')
  if (!text.startsWith('{')) return { ok: true, value: { password: text } }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return wrong('JSON that is not valid')
  }
  const { username, password, expiresAt } = value as Readonly<Record<string, unknown>>
  if (typeof password !== 'string' || password === '') return wrong('no password')
  if (username !== undefined && typeof username !== 'string') return wrong('a username that is no text')
  const end = expiresAt === undefined ? undefined : Date.parse(String(expiresAt))
  if (Number.isNaN(end)) return wrong('an expiresAt that is no time')
  return {
    ok: true,
    value: {
      password,
      ...(username !== undefined && { username }),
      ...(end !== undefined && { expiresAt: end }),
    },
  }
}
