/** Command lines of the control plane's components. */
import { join } from 'node:path'

export type Settings = Readonly<Record<string, string>>

/** Where a control plane runs. */
export interface Placement {
  /** Directory of its files; made if missing. */
  readonly directory: string
  /** Address at which everyone reaches the API server. */
  readonly address: string
  readonly outlivesParent: boolean
  /** Range of addresses of services; two, for both address families, separated by a comma. */
  readonly serviceRange: string
  /** First address of that range: the API server's own service. */
  readonly serviceAddress: string
}

export interface Ports {
  readonly etcd: number
  readonly etcdPeer: number
  readonly apiServer: number
}

export function certificatesDirectory({ directory }: Placement): string {
  return join(directory, 'certificates')
}

export function commandLine(settings: Settings): string[] {
  return Object.entries(settings).map(([name, value]) => `--${name}=${value}`)
}

export function etcdSettings(placement: Placement, ports: Ports): Settings {
  const file = (name: string): string => join(certificatesDirectory(placement), name)
  const clients = `https://127.0.0.1:${ports.etcd}`
  const peers = `https://127.0.0.1:${ports.etcdPeer}`
  return {
    'data-dir': join(placement.directory, 'etcd'),
    'listen-client-urls': clients,
    'advertise-client-urls': clients,
    'listen-peer-urls': peers,
    'initial-advertise-peer-urls': peers,
    'initial-cluster': `default=${peers}`,
    'client-cert-auth': 'true',
    'trusted-ca-file': file('etcd-ca.crt'),
    'cert-file': file('etcd.crt'),
    'key-file': file('etcd.key'),
    'peer-client-cert-auth': 'true',
    'peer-trusted-ca-file': file('etcd-ca.crt'),
    'peer-cert-file': file('etcd.crt'),
    'peer-key-file': file('etcd.key'),
    'log-level': 'warn',
    // nothing here has to survive a power failure
    'unsafe-no-fsync': 'true',
  }
}

export function apiServerSettings(placement: Placement, ports: Ports): Settings {
  const file = (name: string): string => join(certificatesDirectory(placement), name)
  return {
    'etcd-servers': `https://127.0.0.1:${ports.etcd}`,
    'etcd-cafile': file('etcd-ca.crt'),
    'etcd-certfile': file('etcd-client.crt'),
    'etcd-keyfile': file('etcd-client.key'),
    'bind-address': placement.address,
    'advertise-address': placement.address,
    'secure-port': `${ports.apiServer}`,
    'tls-cert-file': file('apiserver.crt'),
    'tls-private-key-file': file('apiserver.key'),
    'client-ca-file': file('ca.crt'),
    'authorization-mode': 'Node,RBAC',
    'enable-admission-plugins': 'NodeRestriction',
    'service-account-issuer': 'https://kubernetes.default.svc.cluster.local',
    'service-account-key-file': file('service-accounts.pub'),
    'service-account-signing-key-file': file('service-accounts.key'),
    'service-cluster-ip-range': placement.serviceRange,
    'kubelet-certificate-authority': file('ca.crt'),
    'kubelet-client-certificate': file('kubelet-client.crt'),
    'kubelet-client-key': file('kubelet-client.key'),
    'kubelet-preferred-address-types': 'InternalIP',
    'requestheader-client-ca-file': file('front-proxy-ca.crt'),
    'requestheader-allowed-names': 'front-proxy-client',
    'requestheader-extra-headers-prefix': 'X-Remote-Extra-',
    'requestheader-group-headers': 'X-Remote-Group',
    'requestheader-username-headers': 'X-Remote-User',
    'proxy-client-cert-file': file('front-proxy-client.crt'),
    'proxy-client-key-file': file('front-proxy-client.key'),
    // the API server is no node: it calls webhooks at their pods, not through a service address
    'enable-aggregator-routing': 'true',
    'allow-privileged': 'true',
    profiling: 'false',
  }
}

export function controllerManagerSettings(
  placement: Placement,
  kubeconfig: string,
  controllers: readonly string[],
): Settings {
  const file = (name: string): string => join(certificatesDirectory(placement), name)
  return {
    kubeconfig,
    'authentication-kubeconfig': kubeconfig,
    'authorization-kubeconfig': kubeconfig,
    controllers: controllers.join(','),
    'bind-address': '127.0.0.1',
    'secure-port': '0',
    'use-service-account-credentials': 'true',
    'service-account-private-key-file': file('service-accounts.key'),
    'root-ca-file': file('ca.crt'),
    'cluster-signing-cert-file': file('ca.crt'),
    'cluster-signing-key-file': file('ca.key'),
    'leader-elect': 'false',
    profiling: 'false',
  }
}
