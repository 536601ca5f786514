/** Decides the commands of a suite, and holds each decision against what was expected. */
import { readFileSync } from 'node:fs'
import { relative, resolve } from 'node:path'
import { type Location, type ManifestProblem, type ManifestSet, problem } from '@firebreak/crds'
import type { RuleReference } from '@firebreak/policy'
import {
  type Catalogue,
  type Configuration,
  explainRequest,
  explainSqlIn,
  loadConfiguration,
} from '@firebreak/sidecar'
import { isAskedByRequests } from '@firebreak/sidecar/protocols/languages.ts'
import { problemSeenFromHere, seenFromHere } from '../reports/places.ts'
import type { Databases } from './database.ts'
import { subjectOf } from './subject.ts'
import type { Expected, LoadedSuite, PolicyTestCase } from './test-file.ts'
import { type Actual, actualOf } from './verdict.ts'

export interface Difference {
  readonly what: 'decision' | 'rule' | 'masks' | 'message'
  readonly expected: string
  readonly actual: string
}

export interface TestResult {
  readonly name: string
  readonly location: Location
  readonly command: string
  readonly expected: Expected
  readonly actual: Actual
  /** Of the rule that decided, and of the one that was expected to, in their policies. */
  readonly rulePlace?: Location
  readonly expectedRulePlace?: Location
  readonly differences: readonly Difference[]
}

export interface SuiteResult {
  readonly file: string
  readonly tests: readonly TestResult[]
  /** What keeps tests from being run: each of these is a failure of its own. */
  readonly problems: readonly ManifestProblem[]
}

export async function runSuite(suite: LoadedSuite, databases: Databases): Promise<SuiteResult> {
  const { file } = suite
  const directory = resolve(suite.directory, suite.manifests)
  const { configuration, problems } = loadConfiguration(directory)
  const errors = problems
    .filter(({ severity }) => severity === 'error')
    .map((found) => problemSeenFromHere(directory, found))
  if (!configuration) return { file, tests: [], problems: errors }
  const catalogues = await readSchemas(suite, configuration.manifests, databases)
  if (!catalogues.ok) return { file, tests: [], problems: catalogues.problems }
  const tests: TestResult[] = []
  const mistakes: ManifestProblem[] = []
  suite.tests.forEach((test, index) => {
    const result = runTest(suite, test, index, configuration, catalogues.byResource)
    if ('severity' in result) mistakes.push(result)
    else tests.push(result)
  })
  return { file, tests, problems: mistakes }
}

type Catalogues =
  | { readonly ok: true; readonly byResource: ReadonlyMap<string, Catalogue> }
  | { readonly ok: false; readonly problems: readonly ManifestProblem[] }

async function readSchemas(
  suite: LoadedSuite,
  { resources }: ManifestSet,
  databases: Databases,
): Promise<Catalogues> {
  const byResource = new Map<string, Catalogue>()
  const problems: ManifestProblem[] = []
  for (const [resource, { file, sql }] of Object.entries(suite.schemas)) {
    const place = suite.locate(['schemas', resource, file === undefined ? 'sql' : 'file'])
    if (!resources.some(({ metadata }) => metadata.name === resource)) {
      const at = suite.locate(['schemas', resource], true)
      problems.push(
        problem(at, 'PolicyTest', `schemas.${resource}`, `there is no ProtectedResource ${resource}`),
      )
      continue
    }
    const path = file === undefined ? undefined : resolve(suite.directory, file)
    const text = path === undefined ? (sql ?? '') : read(path)
    if (text === undefined) {
      problems.push(
        problem(place, 'PolicyTest', `schemas.${resource}.file`, `the file ${file} can't be read`),
      )
      continue
    }
    const result = await databases.catalogueOf(text)
    if (result.ok) byResource.set(resource, result.catalogue)
    else {
      const { message, line = 1, column = 1 } = result
      const source = text.split('\n')[line - 1] ?? ''
      problems.push(
        path === undefined
          ? problem(place, 'PolicyTest', `schemas.${resource}.sql`, `line ${line} of the SQL: ${message}`)
          : problem({ file: relative('', path), line, column, source }, '', '', message),
      )
    }
  }
  return problems.length > 0 ? { ok: false, problems } : { ok: true, byResource }
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

function runTest(
  suite: LoadedSuite,
  test: PolicyTestCase,
  index: number,
  configuration: Configuration,
  catalogues: ReadonlyMap<string, Catalogue>,
): TestResult | ManifestProblem {
  const given = { ...suite.given, ...test.given }
  const about = `PolicyTest "${test.name}"`
  const wrong = (field: string, message: string): ManifestProblem => {
    const path = field.split(/[.[\]]+/).filter((step) => step !== '')
    const [first = ''] = path
    const own = ['tests', index, 'given', ...path]
    const place = first in test.given ? own : first in suite.given ? ['given', ...path] : ['tests', index]
    return problem(
      suite.locate(field === 'command' ? ['tests', index, 'command'] : place),
      about,
      field,
      message,
    )
  }
  const found = subjectOf(given, configuration.manifests, configuration.snapshot)
  if (!found.ok) return wrong(found.mistake.field, found.mistake.message)
  const { subject } = found
  const { snapshot, manifests, locate, directory } = configuration
  const resource = manifests.resources.find(
    ({ metadata }) => `${metadata.namespace}/${metadata.name}` === subject.resource,
  )
  const catalogue = catalogues.get(given.resource ?? '')
  const request =
    resource && isAskedByRequests(resource.spec.type)
      ? explainRequest(snapshot, subject, test.command, resource)
      : undefined
  if (request && !request.ok) return wrong('command', `the gateway would refuse it: ${request.error}`)
  if (!request && !catalogue)
    return wrong(
      'resource',
      `nothing is known of what is in ${given.resource}: give its tables in schemas.${given.resource}`,
    )
  const explained =
    request?.value ??
    (catalogue
      ? explainSqlIn(catalogue, given.searchPath ?? ['public'], snapshot, subject, test.command)
      : [])
  // a table that is not there would be denied whatever the policies say
  const serverError = explained.find((each) => each.serverError !== undefined)?.serverError
  if (serverError !== undefined) return wrong('command', `PostgreSQL would refuse it: ${serverError}`)
  const actual = actualOf(explained)
  const placeOf = (rule: RuleReference | undefined): Location | undefined => {
    const place = rule && rulePlace(rule, manifests, locate)
    return place && seenFromHere(directory, place)
  }
  const expectedRule =
    test.expect.rule === undefined ? undefined : referenceTo(test.expect.rule, given.namespace, manifests)
  const [place, expectedPlace] = [placeOf(actual.rule), placeOf(expectedRule)]
  const { file, line, column } = suite.locate(['tests', index])
  return {
    name: test.name,
    location: { file, line, column },
    command: test.command,
    expected: test.expect,
    actual,
    ...(place && { rulePlace: place }),
    ...(expectedPlace && { expectedRulePlace: expectedPlace }),
    differences: differences(test.expect, actual),
  }
}

function rulePlace(
  { policy, rule }: RuleReference,
  { policies }: ManifestSet,
  locate: Configuration['locate'],
): Location | undefined {
  const manifest = policies.find(({ metadata }) => `${metadata.namespace}/${metadata.name}` === policy)
  const index = manifest?.spec.rules?.findIndex(({ name }) => name === rule) ?? -1
  return index < 0 ? undefined : locate(`GuardrailPolicy ${policy}`, `spec.rules[${index}]`)
}

/** The rule that a test means, for its place; undefined where there is none. */
function referenceTo(
  expected: string,
  namespace = 'default',
  { policies }: ManifestSet,
): RuleReference | undefined {
  return policies
    .filter(({ metadata }) => metadata.namespace === namespace)
    .flatMap(({ metadata, spec }) =>
      (spec.rules ?? []).map(
        (rule): RuleReference => ({ policy: `${namespace}/${metadata.name}`, rule: rule.name }),
      ),
    )
    .find((rule) => isRule(expected, rule))
}

/** @param expected `rule`, or `policy/rule`. */
function isRule(expected: string, { policy, rule }: RuleReference): boolean {
  return expected === rule || expected === `${policy.split('/')[1]}/${rule}`
}

function differences(expected: Expected, actual: Actual): Difference[] {
  const found: Difference[] = []
  const differ = (what: Difference['what'], wanted: string, got: string): void => {
    found.push({ what, expected: wanted, actual: got })
  }
  if (expected.decision !== actual.decision) differ('decision', expected.decision, actual.decision)
  if (expected.rule !== undefined && !(actual.rule && isRule(expected.rule, actual.rule)))
    differ(
      'rule',
      expected.rule,
      actual.rule ? `${actual.rule.policy.split('/')[1]}/${actual.rule.rule}` : 'none',
    )
  if (expected.masks !== undefined && inWords(expected.masks) !== inWords(actual.masks))
    differ('masks', inWords(expected.masks), inWords(actual.masks))
  if (expected.message !== undefined && expected.message !== actual.message)
    differ('message', expected.message, actual.message ?? 'none')
  return found
}

function inWords(masks: Readonly<Record<string, string>>): string {
  const words = Object.entries(masks)
    .map(([column, strategy]) => `${column}: ${strategy}`)
    .sort()
  return words.length === 0 ? 'none' : words.join(', ')
}
