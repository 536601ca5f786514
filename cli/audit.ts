import { parseArgs } from 'node:util'
import { type AuditTrail, inOrderOfTime, verifyTrail } from '@firebreak/sidecar'
import { type CliCommand, UsageError } from './command.ts'
import { style } from './output.ts'

export const audit: CliCommand = {
  name: 'audit',
  summary: 'verify an audit trail',
  options: ['json'],
  help: `Holds the lines of an audit trail against the chain that ties them together.

Usage: firebreak audit verify [FILE]… [--json]

  FILE    in any order, rotated ones too; without one, or with -, standard input
  --json  the chains with the hash of their last line, and all problems

A gap, an edit and another order show. What was cut off at the very end shows by the next run's first line, or by
another copy of the trail whose last hash is another one.

Exit code 0: the trail is whole. 1: it is not; the first bad line is named first.`,
  async run(words) {
    const { values, positionals } = parseArgs({
      args: [...words],
      allowPositionals: true,
      options: { json: { type: 'boolean' } },
    })
    const [verb, ...names] = positionals
    if (verb !== 'verify') throw new UsageError('audit takes: verify FILE…')
    const piped = names.length === 0 || names.includes('-')
    if (piped && names.length > 1) throw new UsageError('standard input is read alone')
    const trail = await verifyTrail(
      piped ? [{ name: 'standard input', stream: process.stdin }] : await inOrderOfTime(names),
    )
    if (values.json) console.log(JSON.stringify(trail, undefined, 2))
    else show(trail)
    return trail.problems.length === 0 && trail.chains.length > 0 ? 0 : 1
  },
}

function show({ chains, problems }: AuditTrail): void {
  for (const { file, line, message } of problems)
    console.log(`${style('bold', `${file}:${line}`)}: ${style('red', 'error')}: ${message}`)
  for (const { source, first, last, ended, repeated, dropped } of chains) {
    const notes = [
      ...(first > 1 ? ['its beginning is not here'] : []),
      ...(ended ? [] : ['it has no end: it goes on, was killed, or was cut off']),
      ...(repeated > 0 ? [`${repeated} lines came again`] : []),
      ...(dropped > 0 ? [`${dropped} lines were dropped, as it says itself`] : []),
    ]
    console.log(`run ${source}: lines ${first} to ${last}${notes.map((note) => `; ${note}`).join('')}`)
  }
  if (chains.length === 0) console.log('There are no lines of an audit trail.')
  else if (problems.length === 0) console.log(style('green', 'whole'))
}
