/** Certificates and keys of a control plane, as files for its components. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  CertificateAuthority,
  type KeyAndCertificate,
  signingKeyPair,
} from '../../../operator/certificates/authority.ts'
import { type Server, writeKubeconfig } from '../kubeconfig.ts'

export interface ControlPlaneCertificates {
  /** Signs users, nodes and the API server. */
  readonly ca: CertificateAuthority
  readonly admin: KeyAndCertificate
}

export interface CertificateNames {
  /** Address at which everyone reaches the API server. */
  readonly address: string
  /** Address of the API server's own service. */
  readonly serviceAddress: string
}

/** Writes `NAME.crt` and `NAME.key` for all components into the directory. */
export async function writeCertificates(
  directory: string,
  { address, serviceAddress }: CertificateNames,
): Promise<ControlPlaneCertificates> {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const [ca, etcdCa, frontProxyCa, serviceAccounts] = await Promise.all([
    CertificateAuthority.create('kubernetes'),
    CertificateAuthority.create('etcd'),
    CertificateAuthority.create('front-proxy'),
    signingKeyPair(),
  ])
  const apiServerNames = [
    'kubernetes',
    'kubernetes.default',
    'kubernetes.default.svc',
    'kubernetes.default.svc.cluster.local',
    'localhost',
    '127.0.0.1',
    address,
    serviceAddress,
  ]
  const admin = await ca.client({ name: 'kubernetes-admin', groups: ['system:masters'] })
  const files: Readonly<Record<string, KeyAndCertificate>> = {
    ca: await ca.export(),
    etcd: await etcdCa.server({ name: 'etcd' }, ['localhost', '127.0.0.1']),
    'etcd-client': await etcdCa.client({ name: 'kube-apiserver' }),
    apiserver: await ca.server({ name: 'kube-apiserver' }, [...new Set(apiServerNames)]),
    'kubelet-client': await ca.client({ name: 'kube-apiserver', groups: ['system:masters'] }),
    'front-proxy-client': await frontProxyCa.client({ name: 'front-proxy-client' }),
    admin,
  }
  for (const [name, { certificate, key }] of Object.entries(files)) {
    writeFileSync(join(directory, `${name}.crt`), certificate)
    writeFileSync(join(directory, `${name}.key`), key, { mode: 0o600 })
  }
  writeFileSync(join(directory, 'etcd-ca.crt'), etcdCa.certificate)
  writeFileSync(join(directory, 'front-proxy-ca.crt'), frontProxyCa.certificate)
  writeFileSync(join(directory, 'service-accounts.key'), serviceAccounts.privateKey, { mode: 0o600 })
  writeFileSync(join(directory, 'service-accounts.pub'), serviceAccounts.publicKey)
  return { ca, admin }
}

/** Those that an earlier process wrote. */
export async function readCertificates(directory: string): Promise<ControlPlaneCertificates> {
  const read = (name: string): KeyAndCertificate => ({
    certificate: readFileSync(join(directory, `${name}.crt`), 'utf8'),
    key: readFileSync(join(directory, `${name}.key`), 'utf8'),
  })
  return { ca: await CertificateAuthority.load(read('ca')), admin: read('admin') }
}

/** A kubeconfig for a component that has its own user name in Kubernetes' bootstrap roles. */
export async function writeComponentKubeconfig(
  directory: string,
  component: string,
  server: Server,
  ca: CertificateAuthority,
): Promise<string> {
  const certificate = await ca.client({ name: `system:${component}` })
  return writeKubeconfig(join(directory, `${component}.kubeconfig`), server, { certificate })
}
