/** Runs other programs to their end. */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'

export interface CommandOptions {
  readonly environment?: Readonly<Record<string, string | undefined>>
  readonly directory?: string
  readonly input?: string
  readonly signal?: AbortSignal
}

/** @returns its standard output. @throws with what it says when it fails. */
export async function runCommand(
  command: string,
  args: readonly string[],
  { environment, directory, input = '', signal }: CommandOptions = {},
): Promise<string> {
  const child = spawn(command, args, {
    stdio: 'pipe',
    env: { ...process.env, ...environment },
    ...(directory === undefined ? {} : { cwd: directory }),
    ...(signal === undefined ? {} : { signal }),
  })
  const closed = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  child.stdin.on('error', () => {
    // it ended without reading its input: its status tells
  })
  child.stdin.end(input)
  const [stdout, stderr, status] = await Promise.all([text(child.stdout), text(child.stderr), closed])
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} failed (${status}):\n${stderr || stdout}`)
  return stdout
}

/** Path of a program that a shell would find, or undefined. */
export function findProgram(name: string, path = process.env.PATH ?? ''): string | undefined {
  return path
    .split(':')
    .map((directory) => join(directory, name))
    .find((file) => existsSync(file))
}
