/** Mocha's dots and failures, and a last line that counts. */
import Mocha from 'mocha'

/** Milliseconds that what the tests started has to end after the last of them. */
const patience = 60_000

export default class CountingReporter extends Mocha.reporters.Dot {
  constructor(runner: Mocha.Runner, options: Mocha.MochaOptions) {
    super(runner, options)
    runner.once('end', () => {
      const { passes, failures, pending } = this.stats
      console.log(`${passes} passed, ${failures} failed${pending > 0 ? `, ${pending} skipped` : ''}`)
      setTimeout(failForWhatRuns, patience).unref()
    })
  }
}

/** A run that never ends would say less. */
function failForWhatRuns(): never {
  console.log(`failed: the tests left running ${process.getActiveResourcesInfo().join(', ')}`)
  process.exit(1)
}
