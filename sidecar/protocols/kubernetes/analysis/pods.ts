/**
 * What pods would be given by an object that is sent. Fields are known by their names at whatever depth: so they are
 * found in a deployment, in a part of one that a patch sets, and in a kind of object that nobody has heard of.
 */
import { at, type Document, elementsOf, objectsIn, textAt } from '../documents/document.ts'

export interface PodNeeds {
  privileged: boolean
  hostAccess: boolean
  /** Nodes that pods are put on past the scheduler. */
  readonly nodes: Set<string>
  readonly serviceAccounts: Set<string>
  readonly secrets: Set<string>
  readonly configMaps: Set<string>
  readonly images: Set<string>
}

/** https://kubernetes.io/docs/concepts/security/pod-security-standards/#baseline */
const baselineCapabilities = new Set([
  'AUDIT_WRITE',
  'CHOWN',
  'DAC_OVERRIDE',
  'FOWNER',
  'FSETID',
  'KILL',
  'MKNOD',
  'NET_BIND_SERVICE',
  'SETFCAP',
  'SETGID',
  'SETPCAP',
  'SETUID',
  'SYS_CHROOT',
])

const baselineSysctls = new Set([
  'kernel.shm_rmid_forced',
  'net.ipv4.ip_local_port_range',
  'net.ipv4.ip_unprivileged_port_start',
  'net.ipv4.tcp_syncookies',
  'net.ipv4.ping_group_range',
  'net.ipv4.ip_local_reserved_ports',
  'net.ipv4.tcp_keepalive_time',
  'net.ipv4.tcp_fin_timeout',
  'net.ipv4.tcp_keepalive_intvl',
  'net.ipv4.tcp_keepalive_probes',
])

const baselineSeLinuxTypes = new Set([
  '',
  'container_t',
  'container_init_t',
  'container_kvm_t',
  'container_engine_t',
])

export function podNeedsOf(documents: readonly Document[]): PodNeeds {
  const needs: PodNeeds = {
    privileged: false,
    hostAccess: false,
    nodes: new Set(),
    serviceAccounts: new Set(),
    secrets: new Set(),
    configMaps: new Set(),
    images: new Set(),
  }
  for (const document of documents) for (const object of objectsIn(document)) lookAt(object, needs)
  return needs
}

function lookAt(object: ReadonlyMap<string, Document>, needs: PodNeeds): void {
  if (exceedsBaseline(object)) needs.privileged = true
  if (reachesHost(object)) needs.hostAccess = true
  addText(needs.nodes, object.get('nodeName'))
  // serviceAccount is the older name of the same
  for (const name of ['serviceAccountName', 'serviceAccount']) {
    const account = object.get(name)
    if (account !== 'default') addText(needs.serviceAccounts, account)
  }
  addText(needs.images, object.get('image'))
  for (const [name, value] of object) {
    if (name === 'secretName') addText(needs.secrets, value)
    else if (name === 'secret' || name === 'secretKeyRef' || /(^secret|Secret)Ref$/.test(name))
      addText(needs.secrets, at(value, 'name') ?? at(value, 'secretName'))
    else if (name === 'configMap' || name === 'configMapKeyRef' || name === 'configMapRef')
      addText(needs.configMaps, at(value, 'name'))
    else if (isAppArmor(name) && value === 'unconfined') needs.privileged = true
  }
}

function exceedsBaseline(object: ReadonlyMap<string, Document>): boolean {
  return (
    isTrue(object.get('privileged')) ||
    isTrue(object.get('hostProcess')) ||
    elementsOf(at(object, 'capabilities', 'add')).some((name) => !isBaselineCapability(name)) ||
    // a patch may set the list alone
    (object.has('procMount') && object.get('procMount') !== 'Default' && object.get('procMount') !== null) ||
    ['seccompProfile', 'appArmorProfile'].some(
      (profile) => textAt(object, profile, 'type') === 'Unconfined',
    ) ||
    exceedsSeLinux(object.get('seLinuxOptions')) ||
    elementsOf(object.get('sysctls')).some((sysctl) => !baselineSysctls.has(textAt(sysctl, 'name') ?? ''))
  )
}

/** Of the annotations of a pod, what its profile was written as before it had a field. */
export function isAppArmor(name: string): boolean {
  return name.startsWith('container.apparmor.security.beta.kubernetes.io/')
}

function isBaselineCapability(name: Document): boolean {
  return typeof name === 'string' && baselineCapabilities.has(name.replace(/^CAP_/, ''))
}

function exceedsSeLinux(options: Document | undefined): boolean {
  if (!(options instanceof Map)) return false
  return (
    Boolean(options.get('user')) ||
    Boolean(options.get('role')) ||
    !baselineSeLinuxTypes.has(textAt(options, 'type') ?? '')
  )
}

function reachesHost(object: ReadonlyMap<string, Document>): boolean {
  const hostPort = object.get('hostPort')
  return (
    ['hostNetwork', 'hostPID', 'hostIPC'].some((name) => isTrue(object.get(name))) ||
    isGiven(object.get('hostPath')) ||
    (isGiven(hostPort) && hostPort !== 0) ||
    // of a PersistentVolume: a directory of the node
    (object.get('local') instanceof Map && textAt(object, 'local', 'path') !== undefined)
  )
}

/** The API server takes nothing but true for true; kinds of objects that aren't its own may take more. */
function isTrue(value: Document | undefined): boolean {
  return isGiven(value) && value !== false && value !== 'false' && value !== 0 && value !== ''
}

function isGiven(value: Document | undefined): boolean {
  return value !== undefined && value !== null
}

function addText(names: Set<string>, value: Document | undefined): void {
  if (typeof value === 'string' && value !== '') names.add(value)
}
