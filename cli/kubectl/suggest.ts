/** What may come next on a command line of the plugin. */
import { parseArgs } from 'node:util'
import { labels } from '@firebreak/operator/containment/names.ts'
import { approvalRequests, pods } from '@firebreak/operator/kubernetes/objects.ts'
import { isFinished } from '@firebreak/sidecar'
import type { Commands } from '../program.ts'
import { inPlace, type Place, placeOptions } from './place.ts'

/** Of cobra: whether the shell may suggest files besides. https://github.com/spf13/cobra/blob/main/site/content/completions/_index.md */
const directives = { files: 0, noFiles: 4 } as const

type Names = (place: Place) => Promise<readonly string[]>

const openRequests: Names = async ({ client, selection }) =>
  (await client.list(approvalRequests, selection)).items
    .filter((request) => !isFinished(request))
    .map(({ metadata }) => metadata.name)

const agentPods: Names = async ({ client, selection }) =>
  (await client.list(pods, { ...selection, labelSelector: labels.agent })).items.map(
    ({ metadata }) => metadata.name,
  )

/** What the first word after the command may be. */
const names: Readonly<Record<string, Names>> = {
  approvals: openRequests,
  approve: openRequests,
  deny: openRequests,
  revoke: openRequests,
  explain: agentPods,
  audit: agentPods,
}

/** @param words as kubectl passes them; the last is what was begun. */
export async function suggestions(
  commands: Commands,
  words: readonly string[],
): Promise<readonly [words: readonly string[], directive: number]> {
  const begun = words.at(-1) ?? ''
  const [name = '', ...before] = words.slice(0, -1)
  const fitting = (all: readonly string[]): readonly string[] => all.filter((word) => word.startsWith(begun))
  if (words.length <= 1) return [fitting(Object.keys(commands)), directives.noFiles]
  const command = Object.hasOwn(commands, name) ? await commands[name]?.() : undefined
  if (!command) return [[], directives.noFiles]
  if (begun.startsWith('-'))
    return [fitting([...command.options, 'help'].map((option) => `--${option}`)), directives.noFiles]
  const find = names[name]
  if (!find) return [[], directives.files]
  return [fitting(await namesIn(find, before)), directives.noFiles]
}

/** None where the cluster doesn't tell: a message would stand in the middle of what somebody types. */
async function namesIn(find: Names, before: readonly string[]): Promise<readonly string[]> {
  try {
    const { values } = parseArgs({ args: [...before], strict: false, options: placeOptions })
    const text = (value: string | boolean | undefined): string | undefined =>
      typeof value === 'string' ? value : undefined
    return await inPlace(
      {
        kubeconfig: text(values.kubeconfig),
        context: text(values.context),
        namespace: text(values.namespace),
      },
      find,
    )
  } catch {
    return []
  }
}
