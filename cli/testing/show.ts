/** What people see of a run of tests. */
import type { Location } from '@firebreak/crds'
import { describeRule } from '@firebreak/policy'
import { showProblem, style } from '../output.ts'
import type { SuiteResult, TestResult } from './run-suite.ts'

export function showSuite({ file, tests, problems }: SuiteResult): string {
  return [
    style('bold', file),
    ...tests.map(showTest),
    ...problems.map((problem) => indented(showProblem(problem))),
  ].join('\n')
}

function showTest(test: TestResult): string {
  return test.differences.length === 0
    ? `  ${style('green', '✓')} ${test.name}`
    : `  ${style('red', '✗')} ${style('red', test.name)}  ${place(test.location)}\n${indented(showDifferences(test), 6)}`
}

/** Without colours where it goes to no terminal. */
export function showDifferences({
  command,
  differences,
  actual,
  rulePlace,
  expectedRulePlace,
}: TestResult): string {
  const column = 10
  const [line = '', ...more] = command.trim().split('\n')
  return [
    `${'command'.padEnd(column)}${line}${more.length > 0 ? ' …' : ''}`,
    ...differences.flatMap(({ what, expected, actual: got }) => [
      `${what.padEnd(column)}${style('green', `- ${expected}`)}${what === 'rule' ? at(expectedRulePlace) : ''}`,
      `${''.padEnd(column)}${style('red', `+ ${got}`)}${what === 'rule' ? at(rulePlace) : ''}`,
    ]),
    `${'because'.padEnd(column)}${actual.reason}`,
    ...(actual.rule ? [`${''.padEnd(column)}${describeRule(actual.rule)}${at(rulePlace)}`] : []),
  ].join('\n')
}

function at(location: Location | undefined): string {
  return location ? `  ${place(location)}` : ''
}

function place({ file, line, column }: Location): string {
  return style('dim', `${file}:${line}:${column}`)
}

function indented(text: string, by = 2): string {
  return text.replace(/^/gm, ' '.repeat(by))
}
