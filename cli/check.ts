import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import type { ManifestProblem } from '@firebreak/crds'
import {
  type LoadedConfiguration,
  loadConfiguration,
} from '@firebreak/sidecar/configuration/configuration.ts'
import { type CliCommand, UsageError } from './command.ts'
import { showProblem, style } from './output.ts'
import { type JunitCase, junit } from './reports/junit.ts'
import { problemSeenFromHere } from './reports/places.ts'
import { sarif } from './reports/sarif.ts'
import { version } from './version.ts'

export const check: CliCommand = {
  name: 'check',
  summary: 'validate a directory of manifests',
  options: ['json', 'sarif', 'junit', 'cluster', 'context'],
  help: `Validates a directory of manifests: schema, references between them, CEL conditions.

Usage: firebreak check DIR [--cluster [--context NAME]] [--json] [--sarif FILE] [--junit FILE]

  --cluster      against the cluster of the kubeconfig as well: what its version of Firebreak doesn't know is an error, and what
                 is in the same namespaces there may be referred to. It only reads
  --context NAME of the kubeconfig (default: its current one)
  --sarif FILE   write a SARIF log as well, which code hosts show beside the line
  --junit FILE   write a JUnit report as well, which CI systems show; a warning is a skipped test

Files are named from the working directory in both: run it in the root of the repository.

Exit code 0: valid (there may be warnings). 1: not valid.`,
  async run(words) {
    const { values, positionals } = parseArgs({
      args: [...words],
      allowPositionals: true,
      options: {
        json: { type: 'boolean' },
        sarif: { type: 'string' },
        junit: { type: 'string' },
        cluster: { type: 'boolean' },
        context: { type: 'string' },
      },
    })
    const [directory, ...more] = positionals
    if (directory === undefined || more.length > 0) throw new UsageError('check takes one directory')
    if (values.context !== undefined && !values.cluster) throw new UsageError('--context goes with --cluster')
    const { configuration, problems } = values.cluster
      ? await inCluster(directory, values)
      : loadConfiguration(directory)
    const seen = problems.map((problem) => problemSeenFromHere(directory, problem))
    if (values.sarif !== undefined)
      writeFileSync(values.sarif, `${JSON.stringify(sarif(version, seen), undefined, 2)}\n`)
    if (values.junit !== undefined)
      writeFileSync(values.junit, junit('firebreak check', casesOf(directory, seen)))
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

/** Its client is loaded for whom it is asked of only. */
async function inCluster(
  directory: string,
  options: { readonly context?: string | undefined },
): Promise<LoadedConfiguration> {
  const [{ inPlace }, { checkAgainst }] = await Promise.all([
    import('./kubectl/place.ts'),
    import('./check-cluster.ts'),
  ])
  return await inPlace(options, ({ client }) => checkAgainst(client, directory))
}

function casesOf(directory: string, problems: readonly ManifestProblem[]): JunitCase[] {
  if (problems.length === 0) return [{ name: 'is valid', location: { file: directory, line: 0, column: 0 } }]
  return problems.map((problem) => ({
    name: [problem.object, problem.field].filter((part) => part !== '').join(' ') || 'can be read',
    location: problem.location,
    outcome: {
      kind: problem.severity === 'error' ? 'failure' : 'skipped',
      message: problem.message,
      details: showProblem(problem),
    },
  }))
}
