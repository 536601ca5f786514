/** The same requests by the HTTP clients that agents use: a program for each. */
import { fileURLToPath } from 'node:url'
import { compileOnce } from '../../../tools/go-program.ts'

/** What a client saw of an answer. The programs print a list of them. */
export interface Seen {
  readonly status: number
  readonly type: string
  readonly body: string
}

/** Of a server that takes everything: in turn when nobody is in between. */
export const statuses: readonly number[] = [200, 200, 200, 200, 200, 404, 200]

/** Takes the base URL. */
export const nodePrograms = { fetch: path('fetch.ts'), axios: path('axios.ts') }

/** Takes the library's name and the base URL. */
export const pythonProgram = path('ask.py')

/** As pip names them. */
export const pythonPackages = { httpx: 'httpx==0.28.1', requests: 'requests==2.34.2' }

/** @returns the path of a program that takes the base URL. */
export async function goProgram(): Promise<string> {
  return await compileOnce({ sources: path('net-http'), main: '.', name: 'http', what: 'a client in Go' })
}

function path(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url))
}
