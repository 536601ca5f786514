/** Configuration of one node's processes. */
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'
import type { ControlPlaneCertificates } from '../control-plane/files.ts'
import { commandLine } from '../control-plane/settings.ts'
import { type Server, writeKubeconfig } from '../kubeconfig.ts'
import type { EnforcerConfiguration } from '../network-policies/configuration.ts'
import type { Program } from '../program/build.ts'
import {
  announcingPlugin,
  cniConfiguration,
  cniPlugins,
  insideCommands,
  network,
  nodeAddresses,
  outsideCommands,
} from './network.ts'
import type { NodePrograms } from './programs.ts'

export interface NodeSpecification {
  readonly name: string
  /** From 1. */
  readonly index: number
  /** How many nodes the cluster has. */
  readonly count: number
  readonly directory: string
}

interface NodeProcess {
  readonly name: string
  readonly command: readonly string[]
}

const enforcerProgram = fileURLToPath(new URL('../network-policies/main.ts', import.meta.url))

export const pauseImage = 'firebreak.test/pause:1'
export const containerdSocket = '/run/containerd/containerd.sock'

/** Group of the node's containers, in each hierarchy of control groups. */
export function controlGroup(node: string): string {
  return `firebreak-test-${node}`
}

/** Writes the files of the node and returns the path of the one that its first process reads. */
export async function writeNodeFiles(
  specification: NodeSpecification,
  server: Server,
  { ca }: ControlPlaneCertificates,
  program: Program,
  programs: NodePrograms,
): Promise<string> {
  const { name, index, count, directory } = specification
  const { ipv4, ipv6 } = nodeAddresses(index)
  const file = (fileName: string): string => join(directory, fileName)
  const write = (fileName: string, contents: string): string => {
    writeFileSync(file(fileName), contents, { mode: 0o600 })
    return file(fileName)
  }
  mkdirSync(file('cni'), { recursive: true })
  mkdirSync(file('writable'), { recursive: true })
  mkdirSync(file('announcements'), { recursive: true })
  mkdirSync(file('cni-plugins'), { recursive: true })
  for (const plugin of cniPlugins)
    symlinkSync(join(programs.cniPlugins, plugin), file(`cni-plugins/${plugin}`))
  symlinkSync(program.podAddress, file(`cni-plugins/${announcingPlugin}`))

  const kubelet = await ca.server({ name: `system:node:${name}`, groups: ['system:nodes'] }, [
    name,
    ipv4,
    ipv6,
  ])
  write('ca.crt', ca.certificate)
  write('kubelet.crt', kubelet.certificate)
  write('kubelet.key', kubelet.key)
  writeKubeconfig(file('kubelet.kubeconfig'), server, { certificate: kubelet })
  const proxy = await ca.client({ name: 'system:kube-proxy' })
  writeKubeconfig(file('kube-proxy.kubeconfig'), server, { certificate: proxy })
  const enforcer: EnforcerConfiguration = {
    server: { endpoint: server.endpoint, ca: server.ca },
    certificate: await ca.client({ name: 'network-policies' }),
    announcements: file('announcements'),
  }
  write('network-policies.json', JSON.stringify(enforcer))

  write('resolv.conf', `nameserver ${network.machine.ipv4}\n`)
  write(
    'cni/pods.conflist',
    JSON.stringify(cniConfiguration(index, '/var/lib/cni/networks', file('announcements'))),
  )
  write('containerd.toml', containerdConfiguration(directory))
  write('kubelet.yaml', stringify(kubeletConfiguration(name, directory)))
  write('kube-proxy.yaml', stringify(kubeProxyConfiguration(name, directory)))

  const processes: readonly NodeProcess[] = [
    { name: 'containerd', command: ['containerd', '--config', file('containerd.toml')] },
    {
      name: 'kubelet',
      command: [
        program.path,
        'kubelet',
        ...commandLine({
          config: file('kubelet.yaml'),
          kubeconfig: file('kubelet.kubeconfig'),
          'hostname-override': name,
          'node-ip': `${ipv4},${ipv6}`,
          'root-dir': '/var/lib/kubelet',
        }),
      ],
    },
    {
      name: 'kube-proxy',
      command: [program.path, 'kube-proxy', `--config=${file('kube-proxy.yaml')}`],
    },
    { name: 'network-policies', command: [process.execPath, enforcerProgram, file('network-policies.json')] },
  ]
  return write(
    'node.json',
    JSON.stringify({
      hostname: name,
      pidFile: file('pid'),
      writable: file('writable'),
      outside: outsideCommands(index),
      inside: insideCommands(index, count),
      processes: processes.map(({ name, command }) => ({
        name,
        command,
        environment: programs.environment,
        log: file(`${name}.log`),
      })),
    }),
  )
}

function containerdConfiguration(directory: string): string {
  return `version = 2
root = "${directory}/containerd"
state = "/run/containerd"

[grpc]
  address = "${containerdSocket}"

# its directory would be made on the machine, in /opt
[plugins."io.containerd.internal.v1.opt"]
  path = "${directory}/opt"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${pauseImage}"
  # a machine that is itself a container or a small VM may not lower the score of processes below its own
  restrict_oom_score_adj = true

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  SystemdCgroup = false

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "${directory}/cni-plugins"
  conf_dir = "${directory}/cni"
`
}

function kubeletConfiguration(name: string, directory: string): object {
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: join(directory, 'ca.crt') },
    },
    authorization: { mode: 'Webhook' },
    tlsCertFile: join(directory, 'kubelet.crt'),
    tlsPrivateKeyFile: join(directory, 'kubelet.key'),
    containerRuntimeEndpoint: `unix://${containerdSocket}`,
    clusterDomain: 'cluster.local',
    clusterDNS: [network.dnsService],
    resolvConf: join(directory, 'resolv.conf'),
    cgroupDriver: 'cgroupfs',
    cgroupRoot: `/${controlGroup(name)}`,
    failCgroupV1: false,
    failSwapOn: false,
    enforceNodeAllocatable: [],
    // the machine's disk is no concern of the tests
    evictionHard: { 'nodefs.available': '0%', 'nodefs.inodesFree': '0%', 'imagefs.available': '0%' },
    imageGCHighThresholdPercent: 100,
    imageMinimumGCAge: '24h',
    syncFrequency: '10s',
    fileCheckFrequency: '0s',
    httpCheckFrequency: '0s',
    nodeStatusUpdateFrequency: '5s',
    configMapAndSecretChangeDetectionStrategy: 'Watch',
    shutdownGracePeriod: '0s',
  }
}

function kubeProxyConfiguration(name: string, directory: string): object {
  return {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    mode: 'nftables',
    hostnameOverride: name,
    clientConnection: { kubeconfig: join(directory, 'kube-proxy.kubeconfig') },
    clusterCIDR: network.podRanges.join(','),
    detectLocalMode: 'ClusterCIDR',
    // these are settings of the whole machine, not of a network namespace
    conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' },
  }
}
