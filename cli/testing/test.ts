import { existsSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import type { ManifestProblem } from '@firebreak/crds'
import { type CliCommand, UsageError } from '../command.ts'
import { showProblem, style } from '../output.ts'
import { type JunitCase, junit } from '../reports/junit.ts'
import { Databases } from './database.ts'
import { runSuite, type SuiteResult } from './run-suite.ts'
import { showDifferences, showSuite } from './show.ts'
import { loadSuites } from './test-file.ts'

export const test: CliCommand = {
  name: 'test',
  summary: 'run tests of policies: who may do what',
  options: ['json', 'junit'],
  help: `Runs tests of policies: commands, and the decisions that are expected for them. Nothing is connected to, and no
command is run: what is in a database stands in the test, as SQL.

Usage: firebreak test [FILE|DIR]… [--json] [--junit FILE]

  FILE           a file of tests
  DIR            where they are looked for, at any depth, by their kind PolicyTest (default: the working directory)
  --junit FILE   write a report for a CI system as well

  apiVersion: firebreak.dev/v1alpha1
  kind: PolicyTest
  manifests: ..                              # the directory that firebreak run gets
  schemas: { orders-db: { sql: "CREATE TABLE orders (id int, note text)" } }
  given: { identity: support-bot, resource: orders-db }
  tests:
    - name: orders can be read
      command: SELECT * FROM orders
      expect: { decision: allow, rule: read }

Exit code 0: all passed. 1: a test failed. 2: tests or manifests are not valid, or there are none.`,
  async run(words) {
    const { values, positionals } = parseArgs({
      args: [...words],
      allowPositionals: true,
      options: { json: { type: 'boolean' }, junit: { type: 'string' } },
    })
    const missing = positionals.find((path) => !existsSync(path))
    if (missing !== undefined) throw new UsageError(`there is no file or directory ${missing}`)
    const { suites, problems } = loadSuites(positionals.length === 0 ? ['.'] : positionals)
    const results: SuiteResult[] = []
    await using databases = new Databases()
    for (const suite of suites) {
      const result = await runSuite(suite, databases)
      results.push(result)
      if (!values.json) console.log(showSuite(result))
    }
    const found = summarize(results, problems)
    if (values.json) console.log(JSON.stringify({ ...found, suites: results, problems }, undefined, 2))
    else {
      for (const problem of problems) console.error(showProblem(problem, process.stderr))
      console.log(inWords(found))
    }
    if (values.junit !== undefined)
      writeFileSync(values.junit, junit('firebreak test', casesOf(results, problems)))
    if (found.invalid > 0 || found.passed + found.failed === 0) return 2
    return found.failed === 0 ? 0 : 1
  },
}

interface Summary {
  readonly passed: number
  readonly failed: number
  /** Tests that couldn't be run, and whatever else is wrong in files. */
  readonly invalid: number
}

function summarize(results: readonly SuiteResult[], problems: readonly ManifestProblem[]): Summary {
  const tests = results.flatMap((result) => result.tests)
  const failed = tests.filter(({ differences }) => differences.length > 0).length
  return {
    passed: tests.length - failed,
    failed,
    invalid: problems.length + results.flatMap((result) => result.problems).length,
  }
}

function inWords({ passed, failed, invalid }: Summary): string {
  if (passed + failed + invalid === 0) return 'there are no tests: no file is of kind PolicyTest'
  const parts = [
    style('green', `${passed} passed`),
    ...(failed > 0 ? [style('red', `${failed} failed`)] : []),
    ...(invalid > 0 ? [style('red', `${invalid} not valid`)] : []),
  ]
  return `\n${parts.join(', ')}`
}

function casesOf(results: readonly SuiteResult[], problems: readonly ManifestProblem[]): JunitCase[] {
  const invalid = [...problems, ...results.flatMap((result) => result.problems)].map(
    (problem): JunitCase => ({
      name: problem.object === '' ? problem.location.file : problem.object,
      location: problem.location,
      outcome: { kind: 'error', message: problem.message, details: showProblem(problem) },
    }),
  )
  const tried = results
    .flatMap((result) => result.tests)
    .map((result): JunitCase => {
      const { name, location, differences } = result
      if (differences.length === 0) return { name, location }
      const message = differences
        .map(({ what, expected, actual }) => `${what}: expected ${expected}, found ${actual}`)
        .join('; ')
      return { name, location, outcome: { kind: 'failure', message, details: showDifferences(result) } }
    })
  return [...tried, ...invalid]
}
