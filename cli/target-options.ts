/** The words of options that name a place, and how to get there: `TARGET,OPTION=VALUE,…`. */
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
