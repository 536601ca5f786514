/** How many commands there were when, by what was decided: bars that lead to the first of them. */
import type { Exchange } from '@firebreak/sidecar/recording/transcript/exchanges.ts'

const bars = 240
const height = 60

type Decision = 'allow' | 'hold' | 'deny'

interface Bar {
  readonly counts: Record<Decision, number>
  /** Number of the first command of the worst decision. */
  leadsTo: { readonly number: number; readonly decision: Decision }
}

/** The worst is seen on top of the others. */
const worst: readonly Decision[] = ['deny', 'hold', 'allow']

export class Timeline {
  readonly #perBar: number
  readonly #bars = new Map<number, Bar>()

  /** @param microseconds how long the session was. */
  constructor(microseconds: number) {
    this.#perBar = Math.max(1, microseconds) / bars
  }

  add({ time, command }: Exchange): void {
    if (!command) return
    const { number, entry } = command
    const { decision } = entry
    const at = Math.min(bars - 1, Math.floor(time / this.#perBar))
    const bar = this.#bars.get(at) ?? {
      counts: { allow: 0, hold: 0, deny: 0 },
      leadsTo: { number, decision },
    }
    bar.counts[decision]++
    if (worst.indexOf(decision) < worst.indexOf(bar.leadsTo.decision)) bar.leadsTo = { number, decision }
    this.#bars.set(at, bar)
  }

  svg(): string {
    const total = ({ counts }: Bar): number => counts.allow + counts.hold + counts.deny
    const most = Math.max(1, ...[...this.#bars.values()].map(total))
    const drawn = [...this.#bars].map(([at, bar]) => {
      let top = height - heightOf(total(bar), most)
      const parts = worst.map((decision) => {
        const count = bar.counts[decision]
        const length = heightOf(total(bar), most) * (count / total(bar))
        const part =
          count === 0 ? '' : `<rect class="${decision}" x="${at}" y="${top}" width="0.9" height="${length}"/>`
        top += length
        return part
      })
      const { allow, hold, deny } = bar.counts
      const title = `<title>from #${bar.leadsTo.number + 1}: ${allow} allowed, ${hold} held, ${deny} denied</title>`
      return `<a href="#c${bar.leadsTo.number + 1}">${title}${parts.join('')}</a>`
    })
    return `<svg viewBox="0 0 ${bars} ${height}" preserveAspectRatio="none">${drawn.join('')}</svg>`
  }
}

/** Few are seen beside many. */
function heightOf(count: number, most: number): number {
  return (height * Math.log2(1 + count)) / Math.log2(1 + most)
}
