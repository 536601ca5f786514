/** `suspended` and `resume`: what signals have taken from identities, and how it is given back. */
import { existsSync } from 'node:fs'
import { parseArgs } from 'node:util'
import type { ApprovalRequest } from '@firebreak/crds'
import { decideRequest, inWords, isFinished, listRequests } from '@firebreak/sidecar'
import { type CliCommand, UsageError } from '../command.ts'
import { style } from '../output.ts'
import { resultInWords } from './decide.ts'
import { requestDirectory, whereHelp, whereOptions } from './directory.ts'
import { stateInWords } from './show.ts'
import { printable } from './text.ts'

export const suspended: CliCommand = {
  name: 'suspended',
  summary: 'show whom signals have suspended, or hold for approval',
  options: ['config', 'state', 'json'],
  help: `Shows the identities that signals have suspended, or whose commands they hold for approval, and why.

Usage: firebreak suspended [--json] (--config DIR | --state DIR)

${whereHelp}
  --json            the requests by which they are resumed, themselves

Exit code 0: there is none. 1: there are some, or the directory can't be read.`,
  async run(words) {
    const { values, positionals } = parseArgs({
      args: [...words],
      allowPositionals: true,
      options: { ...whereOptions, json: { type: 'boolean' } },
    })
    if (positionals.length > 0) throw new UsageError('suspended takes no name')
    const requests = await openResumptions(requestDirectory(values))
    if (values.json) console.log(JSON.stringify(requests, undefined, 2))
    else if (requests.length === 0) console.log('Nobody is suspended, and nobody held for approval.')
    else for (const request of requests) for (const line of describe(request)) console.log(line)
    return requests.length === 0 ? 0 : 1
  },
}

export const resume: CliCommand = {
  name: 'resume',
  summary: 'give an identity back what signals have taken from it',
  options: ['config', 'state', 'reason'],
  help: `Resumes an identity that a signal has suspended, or whose commands it holds for approval.

Usage: firebreak resume IDENTITY [--reason TEXT] (--config DIR | --state DIR)

  IDENTITY          its name, or namespace/name
${whereHelp}
  --reason TEXT     why; the audit trail has it

Who resumes is the user of the system that runs this command. Exit code 0: it counts. 1: it does not, with the reason.`,
  async run(words) {
    const { values, positionals } = parseArgs({
      args: [...words],
      allowPositionals: true,
      options: { ...whereOptions, reason: { type: 'string' } },
    })
    const [identity, ...more] = positionals
    if (identity === undefined || more.length > 0)
      throw new UsageError('resume takes the name of one identity')
    const directory = requestDirectory(values)
    const open = await openResumptions(directory)
    const requests = open.filter(({ metadata, spec }) =>
      [spec.identity, `${metadata.namespace}/${spec.identity}`].includes(identity),
    )
    if (new Set(requests.map(({ metadata }) => metadata.namespace)).size > 1)
      throw new UsageError(
        `there is an identity ${identity} in several namespaces: give it as namespace/name`,
      )
    if (requests.length === 0) {
      const others = open.map(({ metadata, spec }) => `${metadata.namespace}/${spec.identity}`)
      console.log(
        `${identity} is not suspended${others.length > 0 ? `; ${[...new Set(others)].join(', ')} would be` : ''}`,
      )
      return 1
    }
    let counts = true
    for (const { metadata } of requests) {
      const { reason } = values
      const result = await decideRequest(directory, metadata.name, { decision: 'Approved', reason })
      counts &&= result.kind === 'decided'
      console.log(
        result.kind === 'decided' ? `${style('green', 'resumed')}: ${identity}` : resultInWords(result),
      )
    }
    return counts ? 0 : 1
  },
}

async function openResumptions(directory: string): Promise<readonly ApprovalRequest[]> {
  if (!existsSync(directory)) return []
  return (await listRequests(directory)).filter(
    (request) => request.spec.resumption && !isFinished(request) && request.status?.state !== 'Approved',
  )
}

function describe({ metadata, spec }: ApprovalRequest): string[] {
  const { resumption, identity, requirements, requestedAt } = spec
  if (!resumption) return []
  return [
    `${style('bold', `${metadata.namespace}/${identity}`)}: ${stateInWords(resumption)} since ${requestedAt} by signal ${resumption.signal}`,
    `  ${printable(resumption.explanation)}`,
    ...(resumption.evidence?.length ? [`  seen in: ${resumption.evidence.join(', ')}`] : []),
    `  who may resume it: ${inWords(requirements)} (firebreak resume ${identity})`,
  ]
}
