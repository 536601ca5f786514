/** Servers in pods of the namespace `data`, by TLS on port 443, each behind a Service of its name. */
import { stringify } from 'yaml'
import { CertificateAuthority } from '../../operator/certificates/authority.ts'
import type { Product } from './product.ts'

export interface TlsServer {
  readonly name: string
  /** In its environment, as the variable that `secretVariable` says. */
  readonly secret: string
  readonly secretVariable: string
  /** What it runs. It finds tls.crt, tls.key and ca.crt, by which it knows the others, in /certificate. */
  readonly container: { readonly image: string; readonly command: readonly string[]; readonly env?: object[] }
  /** Each is mounted in a directory of its name. */
  readonly volumes?: readonly { readonly name: string }[]
}

/** Starts them, and waits until all are ready. @returns the certificate of the authority that they are known by. */
export async function startTlsServers(product: Product, servers: readonly TlsServer[]): Promise<string> {
  const authority = await CertificateAuthority.create('the real one')
  for (const { name, secret } of servers) {
    const { certificate, key } = await authority.server({ name }, [`${name}.data.svc`])
    const contents = { 'tls.crt': certificate, 'tls.key': key, 'ca.crt': authority.certificate, secret }
    await product.secret('data', name, contents)
  }
  const manifests = servers.flatMap(manifestsOf).map((each) => stringify(each))
  await product.cluster.kubectl.apply(manifests.join('---\n'))
  const pods = servers.map(({ name }) => `pod/${name}`)
  await product.kubectl('wait', ...pods, '-n', 'data', '--for=condition=Ready', '--timeout=180s')
  return authority.certificate
}

function manifestsOf({ name, secretVariable, container, volumes = [] }: TlsServer): object[] {
  const metadata = { name, namespace: 'data', labels: { app: name } }
  const secret = { name: secretVariable, valueFrom: { secretKeyRef: { name, key: 'secret' } } }
  const all = [...volumes, { name: 'certificate', secret: { secretName: name } }]
  const server = {
    name: 'server',
    ...container,
    env: [...(container.env ?? []), secret],
    readinessProbe: { tcpSocket: { port: 443 }, periodSeconds: 1 },
    volumeMounts: all.map((volume) => ({ name: volume.name, mountPath: `/${volume.name}` })),
  }
  const spec = { terminationGracePeriodSeconds: 1, containers: [server], volumes: all }
  return [
    { apiVersion: 'v1', kind: 'Pod', metadata, spec },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata,
      spec: { selector: { app: name }, ports: [{ port: 443 }] },
    },
  ]
}
