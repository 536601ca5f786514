/** Runs other programs to their end. */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'

export interface CommandOptions {
  /** Besides this process's own. */
  readonly environment?: Readonly<Record<string, string | undefined>>
  readonly directory?: string
  readonly input?: string
  readonly signal?: AbortSignal
}

export interface Output {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

/** @returns its standard output. @throws with what it says when it fails. */
export async function runCommand(
  command: string,
  args: readonly string[],
  { environment, ...options }: CommandOptions = {},
): Promise<string> {
  const { status, stdout, stderr } = await attemptCommand(
    command,
    args,
    { ...process.env, ...environment },
    options,
  )
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} failed (${status}):\n${stderr || stdout}`)
  return stdout
}

/** @throws when it can't be started, or the signal ends it. */
export async function attemptCommand(
  command: string,
  args: readonly string[],
  environment: NodeJS.ProcessEnv,
  { directory, input = '', signal }: Omit<CommandOptions, 'environment'> = {},
): Promise<Output> {
  const child = spawn(command, args, {
    stdio: 'pipe',
    env: environment,
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
  return { status, stdout, stderr }
}

/** Path of a program that a shell would find, or undefined. */
export function findProgram(name: string, path = process.env.PATH ?? ''): string | undefined {
  return path
    .split(':')
    .map((directory) => join(directory, name))
    .find((file) => existsSync(file))
}
