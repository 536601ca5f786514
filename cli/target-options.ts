/** The words of options that name a place, and how to get there: `TARGET,OPTION=VALUE,…`. */
import { readFileSync } from 'node:fs'
import { UsageError } from './command.ts'

export type TargetOptions = Map<string, string>

/** @param option that it is the value of, such as `--audit`. @throws UsageError when it is not of that form. */
export function splitTarget(option: string, item: string): { target: string; options: TargetOptions } {
  const [target = '', ...words] = item.split(',')
  const options = words.map((word): [string, string] => {
    const separator = word.indexOf('=')
    if (separator < 1) throw new UsageError(`${option} takes TARGET,OPTION=VALUE, not ${item}`)
    return [word.slice(0, separator), word.slice(separator + 1)]
  })
  return { target, options: new Map(options) }
}

/** @throws UsageError when there are options that nobody has taken. */
export function refuseRest(option: string, target: string, options: TargetOptions): void {
  const [unknown] = options.keys()
  if (unknown !== undefined) throw new UsageError(`${option} ${target} takes no option ${unknown}`)
}

export function take(options: TargetOptions, name: string): string | undefined {
  const value = options.get(name)
  options.delete(name)
  return value
}

/** @returns the URL of a database, which has no password in it: others can read a command line. */
export function withoutPassword(option: string, url: string): string {
  const { username, password, pathname } = URL.canParse(url) ? new URL(url) : new URL('postgresql://')
  if (password !== '')
    throw new UsageError(`${option} takes no password in a URL, which others can read: password-file=FILE`)
  if (username === '' || pathname.length < 2)
    throw new UsageError(`${option} takes postgresql://USER@HOST:PORT/DATABASE`)
  return url
}

/** @returns the URL, if it does not send commands in the clear. @param asked as it was written. */
export function encrypted(option: string, url: string, asked: string): string {
  if (!URL.canParse(url)) throw new UsageError(`${option} takes a URL, not ${asked}`)
  const { protocol, hostname, username, password } = new URL(url)
  if (username !== '' || password !== '')
    throw new UsageError(`${option} takes no user or password in a URL: others can read a command line`)
  if (protocol !== 'https:' && !['localhost', '127.0.0.1', '[::1]'].includes(hostname))
    throw new UsageError(
      `${option} takes an https URL, or a plain one of this host: ${asked} would send commands in the clear`,
    )
  return url
}

/**
 * As OpenTelemetry's exporters: the path of what is sent where none is given.
 *
 * @param target begins with `otlp+`.
 */
export function collectorAddress(option: string, target: string, path: string): string {
  const address = new URL(encrypted(option, target.slice('otlp+'.length), target))
  if (address.pathname === '/') address.pathname = path
  return address.href
}

/** The lines of `headers-file`. */
export function headersFrom(options: TargetOptions): Record<string, string> {
  const file = take(options, 'headers-file')
  if (file === undefined) return {}
  const lines = readFileSync(file, 'utf8').split('\n')
  return Object.fromEntries(
    lines
      .filter((line) => line.trim() !== '')
      .map((line, index): [string, string] => {
        const [, name, value] = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):\s*(.*\S)\s*$/.exec(line) ?? []
        if (name === undefined || value === undefined)
          throw new UsageError(`line ${index + 1} of ${file} is not "name: value"`)
        return [name, value]
      }),
  )
}
