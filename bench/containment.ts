/** What containment costs in a pod: through the loopback listener, and captured by original destination, against direct. */
import { ContainedPod, listenerPort } from '../test/contained-pod.ts'
import { lacksForPods, type PodUser } from '../test/pod-network.ts'
import { findClient } from '../tools/clients.ts'
import { median } from './median.ts'

/** @param seconds for each measurement. @throws Error when the machine can't make pods. */
export async function benchContainment(seconds: number): Promise<void> {
  const missing = lacksForPods()
  if (missing !== undefined) throw new Error(`Pods for the benchmark take ${missing}.`)
  await using pod = await ContainedPod.create([])
  const { network, shop } = pod
  const { port, password, user } = shop.postgres
  const pgbench = await findClient('pgbench')
  const as = (name: string): NodeJS.ProcessEnv => ({ PGUSER: name, PGPASSWORD: password, PGDATABASE: 'shop' })
  const at = (host: string, itsPort: number): string[] => ['-h', host, '-p', String(itsPort)]
  const direct = at(network.outside.ipv4, port)
  await network.run('agent', [pgbench, ...direct, '-i', '-q'], as(user))

  const { code, output } = await pod.contain()
  if (code !== 0) throw new Error(output)
  await pod.startEnforcer()
  await pod.startEnvoy()

  const measure = async (
    { user: podUser, where, name }: Way,
    clients: number,
    forSeconds: number,
  ): Promise<number> => {
    const load = [
      '-n',
      '-S',
      '-T',
      String(forSeconds),
      '-c',
      String(clients),
      '-j',
      String(Math.min(clients, 2)),
    ]
    const ran = await network.run(podUser, [pgbench, ...where, ...load], as(name))
    const [, rate] = /tps = ([\d.]+)/.exec(ran.output) ?? []
    if (rate === undefined) throw new Error(`pgbench measured nothing: ${ran.output}`)
    return Number(rate)
  }
  // a sidecar's user is not captured, so all three can be measured in turn
  const ways: readonly Way[] = [
    { title: 'direct', user: 'enforcer', where: direct, name: user },
    { title: 'loopback listener', user: 'agent', where: at('127.0.0.1', listenerPort), name: 'agent' },
    { title: 'captured', user: 'agent', where: direct, name: 'agent' },
  ]
  for (const way of ways) await measure(way, 8, 2)
  for (const clients of [1, 8]) {
    const rates = new Map(ways.map((way): [Way, number[]] => [way, []]))
    for (let round = 0; round < rounds; round++)
      for (const [way, measured] of rates) measured.push(await measure(way, clients, seconds))
    const [directly = 1] = [...rates.values()].map(median)
    console.log(`\n${clients} clients, pgbench -S, median of ${rounds} rounds`)
    for (const [{ title }, measured] of rates) {
      const rate = median(measured)
      const each = ((clients * 1_000) / rate).toFixed(2)
      console.log(
        `  ${title.padEnd(18)} ${Math.round(rate)} tps, ${each} ms, ${(rate / directly).toFixed(2)} of direct`,
      )
    }
  }
}

const rounds = 3

interface Way {
  readonly title: string
  readonly user: PodUser
  readonly where: readonly string[]
  readonly name: string
}
