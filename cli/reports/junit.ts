/** JUnit's XML, which every CI system shows. https://github.com/testmoapp/junitxml */
import type { Location } from '@firebreak/crds'
import commonJs, { type Builder } from 'junit-report-builder'

/** Its types are those of the ES module, which Node doesn't load. */
const reports = commonJs as unknown as Builder

export interface JunitCase {
  readonly name: string
  readonly location: Location
  /** Undefined: it passed. */
  readonly outcome?: {
    /** `failure`: the answer is no. `error`: it couldn't be tried. */
    readonly kind: 'failure' | 'error' | 'skipped'
    readonly message: string
    readonly details: string
  }
}

/** @param name of the program's part that reports. @param cases in one suite for each file. */
export function junit(name: string, cases: readonly JunitCase[]): string {
  const builder = reports.newBuilder()
  for (const [file, ofFile] of Map.groupBy(cases, ({ location }) => location.file)) {
    const suite = builder.testSuite().name(file)
    for (const { name: title, location, outcome } of ofFile) {
      const written = suite.testCase().className(name).name(title).file(location.file)
      if (outcome?.kind === 'failure')
        written.failure(outcome.message, outcome.kind).stacktrace(outcome.details)
      else if (outcome?.kind === 'error') written.error(outcome.message, outcome.kind, outcome.details)
      else if (outcome) written.skipped().standardOutput(outcome.details)
    }
  }
  return builder.build()
}
