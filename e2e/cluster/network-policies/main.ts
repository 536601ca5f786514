/**
 * The test cluster's NetworkPolicy enforcer, one per node. It keeps the node's nftables rules current and lets a new pod
 * start when its own are in force. Its argument is the path of a file with an EnforcerConfiguration.
 */
import { existsSync, readdirSync, readFileSync, watch, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { ApiClient } from '../api-client.ts'
import { runCommand } from '../command.ts'
import { type EnforcerConfiguration, ignoringFile } from './configuration.ts'
import type { Namespace, NetworkPolicy, Pod } from './model.ts'
import { type LocalPod, translate } from './translate.ts'
import { WatchedList } from './watched-list.ts'

/** What the CNI plugin says of a pod that is about to start. */
interface Announcement {
  readonly uid: string
  readonly addresses: readonly string[]
}

const { server, certificate, announcements } = JSON.parse(
  readFileSync(process.argv[2] ?? '', 'utf8'),
) as EnforcerConfiguration
const client = new ApiClient(server, certificate)
let changed = Promise.withResolvers<void>()
const onChange = (): void => changed.resolve()
const pods = new WatchedList<Pod>(client, '/api/v1/pods', onChange)
const namespaces = new WatchedList<Namespace>(client, '/api/v1/namespaces', onChange)
const policies = new WatchedList<NetworkPolicy>(
  client,
  '/apis/networking.k8s.io/v1/networkpolicies',
  onChange,
)
const lists = [pods, namespaces, policies]
const forever = new AbortController().signal
for (const list of lists) void list.run(forever)
watch(announcements, onChange)

let inForce = ''
for (;;) {
  await changed.promise
  changed = Promise.withResolvers()
  if (lists.every(({ complete }) => complete)) await enforce()
  // changes often come several at a time
  await delay(10)
}

async function enforce(): Promise<void> {
  const announced = readAnnouncements()
  const localPods = announced.flatMap(({ uid, addresses }): LocalPod[] => {
    const pod = pods.objects.find(({ metadata }) => metadata.uid === uid)
    return pod === undefined ? [] : [{ pod, addresses }]
  })
  const rules = translate(
    {
      pods: pods.objects.map((pod) => withAddresses(pod, announced)),
      namespaces: namespaces.objects,
      policies: existsSync(join(announcements, ignoringFile)) ? [] : policies.objects,
    },
    localPods,
  )
  if (rules !== inForce) {
    await runCommand('nft', ['--file', '-'], { input: rules })
    inForce = rules
  }
  const known = new Set(localPods.map(({ pod }) => pod.metadata.uid))
  for (const { uid, file } of announced) {
    if (known.has(uid) && !existsSync(`${file}.enforced`) && existsSync(file))
      writeFileSync(`${file}.enforced`, '')
  }
}

/** A pod's own status says its addresses only after it has started. */
function withAddresses(pod: Pod, announced: readonly Announcement[]): Pod {
  const own = announced.filter(({ uid }) => uid === pod.metadata.uid).flatMap(({ addresses }) => addresses)
  return own.length === 0 ? pod : { ...pod, status: { ...pod.status, podIPs: own.map((ip) => ({ ip })) } }
}

function readAnnouncements(): (Announcement & { readonly file: string })[] {
  return readdirSync(announcements)
    .filter((name) => !name.includes('.'))
    .flatMap((name) => {
      const file = join(announcements, name)
      try {
        return [{ file, ...(JSON.parse(readFileSync(file, 'utf8')) as Announcement) }]
      } catch {
        // its pod has just ended
        return []
      }
    })
}
