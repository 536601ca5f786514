import { parseArgs } from 'node:util'
import { type Decision, describeRule, describeSource, describeTouch, type Subject } from '@firebreak/policy'
import { type Explanation, explainCommand, inWords, loadConfiguration } from '@firebreak/sidecar'
import { isAskedByRequests } from '@firebreak/sidecar/protocols/languages.ts'
import { type CliCommand, UsageError } from './command.ts'
import { showProblem, style } from './output.ts'
import { requestHelp, requestOptions, requestText } from './request-options.ts'

export const explain: CliCommand = {
  name: 'explain',
  summary: 'show which decision an identity gets for a command, and why',
  options: ['config', 'namespace', 'role', 'group', 'json', 'header', 'data'],
  help: `Shows which decision an identity gets for a command, and why. The command is not run, but a database is
asked for its catalogue, since names mean nothing without it. A request of an HTTP or Kubernetes API is written as
'DELETE /users/42'; with - all of it, headers, an empty line and a body, is read from the standard input.

Usage: firebreak explain --config DIR [--namespace NS] [--role ROLE] [--group GROUP]… [--json] IDENTITY RESOURCE -- COMMAND

  --role ROLE             default: the first role that the identity has
  --group GROUP           one that its token proves, besides the identity's own
${requestHelp}

Exit code 0: allowed. 1: denied or held, or the resource can't be asked.`,
  async run(words) {
    const separator = words.indexOf('--')
    if (separator < 0) throw new UsageError('explain needs -- before the command')
    const { values, positionals } = parseArgs({
      args: words.slice(0, separator),
      allowPositionals: true,
      options: {
        config: { type: 'string' },
        namespace: { type: 'string', default: 'default' },
        role: { type: 'string' },
        group: { type: 'string', multiple: true, default: [] },
        json: { type: 'boolean' },
        ...requestOptions,
      },
    })
    const [identityName, resourceName] = positionals
    const line = words.slice(separator + 1).join(' ')
    if (
      values.config === undefined ||
      identityName === undefined ||
      resourceName === undefined ||
      line === ''
    )
      throw new UsageError('explain needs --config DIR, an identity, a resource and a command')
    const { configuration, problems } = loadConfiguration(values.config)
    if (!configuration) {
      for (const problem of problems) console.error(showProblem(problem, process.stderr))
      return 1
    }
    const identity = configuration.manifests.identities.find(
      ({ metadata }) => metadata.name === identityName && metadata.namespace === values.namespace,
    )
    if (!identity) {
      const known = configuration.manifests.identities
        .filter(({ metadata }) => metadata.namespace === values.namespace)
        .map(({ metadata }) => metadata.name)
      throw new UsageError(
        `there is no AgentIdentity ${values.namespace}/${identityName}; ${listed(known, 'in that namespace')}`,
      )
    }
    const access = identity.spec.access ?? []
    const roles = access.find(({ resource }) => resource === resourceName)?.roles ?? []
    const role = values.role ?? roles[0]
    if (role === undefined) {
      const known = access.map(({ resource }) => resource)
      throw new UsageError(`${identityName} may not use ${resourceName}; ${listed(known, 'that it may use')}`)
    }
    const subject: Subject = {
      chain: [
        {
          identity: `${values.namespace}/${identityName}`,
          groups: [...(identity.spec.groups ?? []), ...values.group],
        },
      ],
      resource: `${values.namespace}/${resourceName}`,
      role,
    }
    const type = configuration.manifests.resources.find(
      ({ metadata }) => metadata.name === resourceName && metadata.namespace === values.namespace,
    )?.spec.type
    const text = type && isAskedByRequests(type) ? requestText(line, values) : sqlText(line, values)
    const explained = await explainCommand(configuration, subject, text)
    if (!explained.ok) throw new Error(explained.error)
    if (values.json) console.log(JSON.stringify(explained.value, undefined, 2))
    else for (const explanation of explained.value) console.log(showExplanation(explanation))
    return explained.value.every(({ decision }) => decision.effect === 'allow') ? 0 : 1
  },
}

/** @returns the text itself. @throws UsageError where it is given what only a request has. */
export function sqlText(
  text: string,
  { header, data }: { readonly header?: readonly string[]; readonly data?: string },
): string {
  if (header !== undefined || data !== undefined)
    throw new UsageError('headers and a body are of requests, and this resource takes SQL')
  return text
}

function listed(names: readonly string[], where: string): string {
  return names.length === 0 ? `there is none ${where}` : `there is ${names.join(', ')}`
}

const colours = { allow: 'green', deny: 'red', hold: 'yellow' } as const

/** A decision for people. */
export function showExplanation({ command, decision, open }: Explanation): string {
  const by = decision.rule ? describeRule(decision.rule) : 'no rule'
  const lines = [`${style(colours[decision.effect], decision.effect.padEnd(6))} ${by}`]
  if (decision.effect !== 'allow') lines.push(`       ${decision.reason}`)
  if (decision.hint) lines.push(`       "${decision.hint}"`)
  if (decision.effect === 'hold') lines.push(`       approvers: ${inWords(decision.approval.requirements)}`)
  if (open !== undefined) lines.push(`       ${open}`)
  for (const reason of command.opaque) lines.push(`       opaque: ${reason}`)
  for (const touch of command.touches) {
    const more = [...(touch.origin === 'direct' ? [] : [touch.origin]), ...(touch.also ?? [])].join(', ')
    lines.push(`       ${describeTouch(touch)}${more === '' ? '' : ` (${more})`}`)
  }
  lines.push(...masks(command, decision).map((line) => `       ${line}`))
  lines.push(`       revision ${decision.revision}`)
  return lines.join('\n')
}

function masks(command: Explanation['command'], decision: Decision): string[] {
  if (decision.effect === 'deny') return []
  return decision.masks.flatMap((mask, index) => {
    const field = command.fields[index]
    if (!mask || !field) return []
    const from = field.sources.length > 0 ? ` from ${field.sources.map(describeSource).join(', ')}` : ''
    return [`masked: ${field.label} (${mask.strategy.kind}, ${describeRule(mask.rule)})${from}`]
  })
}
