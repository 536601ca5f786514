/** What runs in a container by exec and attach, and what of it is known beforehand. */
import type { Command, Touch } from '@firebreak/policy'
import { factsOfProgram, leadsUp } from '../../shell/analysis.ts'
import { isSet } from './parameters.ts'
import type { ResourceRequest } from './request-info.ts'
import { type ObjectPath, touch } from './touches.ts'

export interface RemoteCommand {
  /** Program and arguments; empty for attach, where the program runs already. */
  readonly argv: readonly string[]
  readonly stdin: boolean
  readonly tty: boolean
  /** Whether there is a stream of its own for errors; a terminal has one for all. */
  readonly stderr: boolean
}

/** @returns undefined for what is answered as HTTP. */
export function streamsOf({
  group,
  resource,
  subresource,
}: ResourceRequest): 'exec' | 'attach' | 'portforward' | undefined {
  if (group !== '' || resource !== 'pods') return undefined
  return subresource === 'exec' || subresource === 'attach' || subresource === 'portforward'
    ? subresource
    : undefined
}

/** @returns undefined for what is no exec or attach of a pod. */
export function remoteCommandOf(request: ResourceRequest): RemoteCommand | undefined {
  const { parameters } = request
  const subresource = streamsOf(request)
  if (subresource === undefined || subresource === 'portforward') return undefined
  const tty = isSet(parameters, 'tty')
  return {
    argv: subresource === 'exec' ? (parameters.get('command') ?? []) : [],
    stdin: isSet(parameters, 'stdin'),
    tty,
    stderr: !tty && isSet(parameters, 'stderr'),
  }
}

/** @param action `k8s:exec` or `k8s:attach`. */
export function remoteCommandTouches(
  action: 'k8s:exec' | 'k8s:attach',
  path: ObjectPath,
  { argv, stdin }: RemoteCommand,
): readonly Touch[] {
  const copy = copyOf(argv)
  const also = copy && (copy.writes || !stdin) ? ([copy.writes ? 'k8s:copyTo' : 'k8s:copyFrom'] as const) : []
  const runs = touch(action, path, 'direct', also)
  if (!stdin) return [runs]
  const isGiven = touch('k8s:stdin', path, 'direct', also)
  // whatever it is given may be lines for a shell; files are none
  return copy ? [runs, isGiven] : [runs, isGiven, touch('k8s:shell', path, 'implied')]
}

export interface Copy {
  readonly writes: boolean
  readonly paths: readonly string[]
}

/** What kubectl cp runs, to the letter; anything else is a program like others. */
export function copyOf(argv: readonly string[]): Copy | undefined {
  const [program, ...rest] = argv
  if (program === 'test') {
    const [option, directory, ...more] = rest
    return option === '-d' && isPath(directory) && more.length === 0
      ? { writes: true, paths: [directory] }
      : undefined
  }
  if (program !== 'tar') return undefined
  const [form, archive, ...paths] = rest
  if (form === 'cf' && archive === '-')
    return paths.length === 1 && paths.every(isPath) ? { writes: false, paths } : undefined
  const plain = rest[0] === '--no-same-permissions' && rest[1] === '--no-same-owner' ? rest.slice(2) : rest
  const [extract, from, inside, directory, ...more] = plain
  if (extract !== '-xmf' || from !== '-' || more.length > 0) return undefined
  if (inside === undefined) return { writes: true, paths: ['.'] }
  return inside === '-C' && isPath(directory) ? { writes: true, paths: [directory] } : undefined
}

/** No option, whatever reads it, and below what it begins with. */
function isPath(text: string | undefined): text is string {
  return text !== undefined && text !== '' && !text.startsWith('-') && !leadsUp(text)
}

/** What a program starts, as far as its arguments tell. */
export function shellFactsOf(argv: readonly string[]): Command['facts'] {
  const shell = factsOfProgram(argv)
  return shell ? { shell: { ...shell } } : {}
}
