import { parseArgs } from 'node:util'
import { loadConfiguration } from '@firebreak/sidecar'
import { type CliCommand, UsageError } from './command.ts'
import { showProblem, style } from './output.ts'

export const check: CliCommand = {
  name: 'check',
  summary: 'validate a directory of manifests',
  options: ['json'],
  help: `Validates a directory of manifests: schema, references between them, CEL conditions.

Usage: firebreak check DIR [--json]

Exit code 0: valid (there may be warnings). 1: not valid.`,
  async run(words) {
    const { values, positionals } = parseArgs({
      args: [...words],
      allowPositionals: true,
      options: { json: { type: 'boolean' } },
    })
    const [directory, ...more] = positionals
    if (directory === undefined || more.length > 0) throw new UsageError('check takes one directory')
    const { configuration, problems } = loadConfiguration(directory)
    if (values.json)
      console.log(
        JSON.stringify(
          { valid: configuration !== undefined, revision: configuration?.snapshot.revision, problems },
          undefined,
          2,
        ),
      )
    else {
      for (const problem of problems) console.log(showProblem(problem))
      if (configuration) {
        const { identities, resources, policies } = configuration.manifests
        console.log(
          `${style('green', 'valid')}: ${identities.length} identities, ${resources.length} resources, ${policies.length} policies, revision ${configuration.snapshot.revision}`,
        )
      }
    }
    return configuration ? 0 : 1
  },
}
