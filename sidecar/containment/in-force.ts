/** Whether the sidecars of a pod do their part, asked from within the pod. */
import { setTimeout as delay } from 'node:timers/promises'
import { inWords } from '../system-errors.ts'

/** In milliseconds. */
const firstPause = 50
const longestPause = 1_000
const answerWithin = 2_000

/**
 * Waits until the enforcer says that a configuration is in force in it and in Envoy. It may take as long as it takes:
 * until then nothing of the agent starts.
 *
 * @param port where the enforcer tells the kubelet. @param onProblem what is still missing, each time that it is something else.
 * @throws when the signal is aborted.
 */
export async function untilInForce(
  port: number,
  onProblem: (problem: string) => void,
  signal: AbortSignal,
): Promise<void> {
  let told: string | undefined
  let pause = firstPause
  for (;;) {
    const problem = await problemNow(port, signal)
    signal.throwIfAborted()
    if (problem === undefined) return
    if (problem !== told) onProblem(problem)
    told = problem
    // what the signal says is told by the next question
    await delay(pause, undefined, { signal }).catch(() => {})
    // the operator may be away for hours
    pause = Math.min(pause * 1.1, longestPause)
  }
}

async function problemNow(port: number, signal: AbortSignal): Promise<string | undefined> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}/ready/capture`, {
      signal: AbortSignal.any([signal, AbortSignal.timeout(answerWithin)]),
      redirect: 'error',
    })
    const said = (await response.text()).trim()
    return response.status === 200 ? undefined : said
  } catch (error) {
    const { cause = error } = error as { cause?: unknown }
    return `the enforcer doesn't answer yet: ${inWords(cause)}`
  }
}
