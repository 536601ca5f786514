/** The processes of a pod's containers, as their node sees them. */
import type { Cluster } from '../cluster/cluster.ts'
import type { ClusterNode } from '../cluster/node/node.ts'

/** Kills everything in a container, without asking. */
export async function killContainer(
  cluster: Cluster,
  namespace: string,
  pod: string,
  container: string,
): Promise<void> {
  const { node, processes } = await find(cluster, namespace, pod, container)
  // one that ran for a moment only, such as a probe's, may be gone already
  const kill = 'for process; do kill -KILL "$process" 2> /dev/null && echo killed; done; true'
  const killed = await node.run('sh', ['-c', kill, 'sh', ...processes])
  if (!killed.includes('killed')) throw new Error(`${container} of ${namespace}/${pod} was not found`)
}

/** Lets another process use up the memory that a container may have, until the kernel ends the container's. */
export async function hasMemoryEatenUp(
  cluster: Cluster,
  namespace: string,
  pod: string,
  container: string,
): Promise<void> {
  const { node, processes } = await find(cluster, namespace, pod, container)
  // tail keeps what has no end of line; the kernel prefers the container's own process, whose score is higher
  const eat = `
    group=$(sed -n 's/^0:://p; s/^[0-9]*:memory://p' /proc/${processes[0]}/cgroup | tail -n 1)
    for root in /sys/fs/cgroup/memory /sys/fs/cgroup; do
      if [ -d "$root$group" ]; then echo $$ > "$root$group/cgroup.procs"; break; fi
    done
    head -c 1G /dev/zero | tail > /dev/null || true`
  await node.run('sh', ['-c', eat]).catch(() => {
    // it is killed as well
  })
}

/** Kills what holds a pod's network namespace; the kubelet then makes the pod another one, and starts all of it anew. */
export async function killSandbox(cluster: Cluster, namespace: string, pod: string): Promise<void> {
  // every container of the pod has its network
  const { node, processes } = await find(cluster, namespace, pod, 'agent')
  const pause = `
    network=$(readlink /proc/${processes[0]}/ns/net)
    for process in /proc/[0-9]*; do
      if [ "$(readlink $process/ns/net)" = "$network" ] && [ "$(cat $process/comm)" = pause ]
      then kill -KILL "\${process#/proc/}"; echo killed; fi
    done`
  const killed = await node.run('sh', ['-c', pause])
  if (killed.trim() !== 'killed')
    throw new Error(`the sandbox of ${namespace}/${pod} was not found: ${killed}`)
}

async function find(
  { nodes, kubectl }: Cluster,
  namespace: string,
  pod: string,
  container: string,
): Promise<{ readonly node: ClusterNode; readonly processes: readonly string[] }> {
  const { spec, status } = JSON.parse(
    await kubectl.run(['get', 'pod', pod, '-n', namespace, '-o', 'json']),
  ) as {
    spec: { nodeName: string }
    status: Readonly<Record<string, { name: string; containerID?: string }[] | undefined>>
  }
  const { initContainerStatuses = [], containerStatuses = [] } = status
  const found = [...initContainerStatuses, ...containerStatuses].find(({ name }) => name === container)
  const [, id] = found?.containerID?.split('//') ?? []
  const node = nodes.find(({ name }) => name === spec.nodeName)
  if (id === undefined || !node) throw new Error(`${container} of ${namespace}/${pod} doesn't run`)
  const inContainer = `grep -ls ${id} /proc/[0-9]*/cgroup | cut -d/ -f3`
  const processes = (await node.run('sh', ['-c', inContainer])).trim().split('\n')
  return { node, processes }
}
