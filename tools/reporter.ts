/** Mocha's dots and failures, and a last line that counts. */
import Mocha from 'mocha'

/** Milliseconds that what the tests started has to end after the last of them. */
const patience = 60_000

/** What is said to the program that started mocha, if that listens. */
export interface Ended {
  /** Files with tests that failed. */
  readonly failed: readonly string[]
}

export default class CountingReporter extends Mocha.reporters.Dot {
  constructor(runner: Mocha.Runner, options: Mocha.MochaOptions) {
    super(runner, options)
    const failed = new Set<string>()
    runner.on('fail', (test: Mocha.Runnable) => {
      failed.add(test.file ?? test.parent?.file ?? '')
      // the rest is said at the end, which may be an hour away
      console.log(`\n  failed: ${test.fullTitle()}`)
    })
    runner.once('end', () => {
      const { passes, failures, pending } = this.stats
      console.log(`${passes} passed, ${failures} failed${pending > 0 ? `, ${pending} skipped` : ''}`)
      process.send?.({ failed: [...failed] } satisfies Ended)
      setTimeout(failForWhatRuns, patience).unref()
    })
  }
}

/** A run that never ends would say less. */
function failForWhatRuns(): never {
  console.log(`failed: the tests left running ${process.getActiveResourcesInfo().join(', ')}`)
  process.exit(1)
}
