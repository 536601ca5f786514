/** `kubectl firebreak sessions` and `replay`: as those of `firebreak`, about the recordings that the cluster's agents leave. */
import { userInfo } from 'node:os'
import { parseArgs } from 'node:util'
import { ApiError } from '@firebreak/operator/kubernetes/client.ts'
import { configMaps } from '@firebreak/operator/kubernetes/objects.ts'
import { published } from '@firebreak/operator/records/publish.ts'
import type { CliCommand } from '../command.ts'
import { replay as plainReplay } from '../replay/replay.ts'
import { sessions as plainSessions, subcommands } from '../sessions/sessions.ts'
import { inPlace } from './place.ts'

const own = {
  kubeconfig: { type: 'string' },
  context: { type: 'string' },
  'operator-namespace': { type: 'string' },
} as const

const help = `
In a cluster: without --recordings, --config and --state, the ConfigMap ${published.name} says where recordings are and
whose signature counts. What opens the place is your own: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or another of the
ways of AWS clients; PGUSER and PGPASSWORD.

  --operator-namespace NS the namespace that Firebreak is installed in (default firebreak-system)
  --context NAME          of the kubeconfig (default: its current one)
  --kubeconfig FILE       default: KUBECONFIG, or ~/.kube/config`

export const sessions = ofCluster(plainSessions, ([name = '']) =>
  Object.hasOwn(subcommands, name) ? subcommands[name] : undefined,
)

export const replay = ofCluster(plainReplay, () => plainReplay)

/** @param meant the command whose options the words are; undefined where there is none. */
function ofCluster(
  command: CliCommand,
  meant: (words: readonly string[]) => CliCommand | undefined,
): CliCommand {
  return {
    ...command,
    options: [...command.options, ...Object.keys(own)],
    help: `${command.help.replaceAll('firebreak sessions', 'kubectl firebreak sessions').replaceAll('firebreak replay', 'kubectl firebreak replay')}\n${help}`,
    async run(words) {
      const { rest, values } = withoutOwn(words)
      const options = meant(rest)?.options ?? []
      if (options.length === 0 || saysWhere(rest)) return await command.run(rest)
      const takesSigner = options.includes('signer') && !rest.some((word) => /^--signer(=|$)/.test(word))
      return await command.run([...rest, ...(await placeWords(values, takesSigner))])
    },
  }
}

interface OwnValues {
  readonly kubeconfig?: string
  readonly context?: string
  readonly 'operator-namespace'?: string
}

/** The words that are for the command itself, and the values of the others. */
function withoutOwn(words: readonly string[]): { rest: string[]; values: OwnValues } {
  const { tokens } = parseArgs({
    args: [...words],
    options: own,
    strict: false,
    allowPositionals: true,
    tokens: true,
  })
  const taken = new Set<number>()
  const values: Record<string, string> = {}
  for (const token of tokens) {
    if (token.kind !== 'option' || !Object.hasOwn(own, token.name) || token.value === undefined) continue
    values[token.name] = token.value
    taken.add(token.index)
    if (!token.inlineValue) taken.add(token.index + 1)
  }
  return { rest: words.filter((_, index) => !taken.has(index)), values }
}

function saysWhere(words: readonly string[]): boolean {
  const said = words.some((word) => /^--(recordings|config|state)(=|$)/.test(word))
  return said || process.env.FIREBREAK_RECORDINGS !== undefined || process.env.FIREBREAK_STATE !== undefined
}

/** @throws Error in words, when the cluster doesn't say where recordings are. */
async function placeWords(
  { 'operator-namespace': namespace = 'firebreak-system', ...values }: OwnValues,
  takesSigner: boolean,
): Promise<string[]> {
  const found = await inPlace({ ...values, namespace }, async ({ client }) =>
    client.get(configMaps, published.name, namespace).catch((error: unknown) => {
      if (error instanceof ApiError && error.status === 403)
        throw new Error(
          `you may not read ConfigMap ${namespace}/${published.name}, which says where recordings are`,
        )
      throw error
    }),
  )
  const { [published.place]: place, [published.authority]: authority } = found?.data ?? {}
  if (place === undefined || authority === undefined)
    throw new Error(
      `the cluster has no place for recordings: there is no ConfigMap ${namespace}/${published.name}`,
    )
  return [
    `--recordings=${place.replace(/^postgresql:\/\//, `postgresql://${encodeURIComponent(databaseUser())}@`)}`,
    ...(takesSigner ? [`--signer=${authority}`] : []),
  ]
}

function databaseUser(): string {
  return process.env.PGUSER ?? userInfo().username
}
