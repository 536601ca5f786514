/** The operator's own certificate, in a Secret that all replicas read: made and renewed by the leader. */
import { ApiError, type KubernetesClient } from '../kubernetes/client.ts'
import { secrets } from '../kubernetes/objects.ts'
import { CertificateAuthority, type KeyAndCertificate } from './authority.ts'

const authorityDays = 3_650
const certificateDays = 90
const day = 86_400_000

export interface ServingCertificate extends KeyAndCertificate {
  /** PEM of the authority, which the API server and the sidecars verify it with. */
  readonly ca: string
}

export interface ServingPlace {
  readonly namespace: string
  /** Name of the Secret. */
  readonly name: string
  /** Host names and addresses that the operator is reached by. */
  readonly hosts: readonly string[]
}

/**
 * Makes the certificate where there is none, and a new one by the same authority when a third of its time is left.
 *
 * @returns the one that is good now.
 */
export async function keepServingCertificate(
  client: KubernetesClient,
  place: ServingPlace,
  now = Date.now(),
): Promise<ServingCertificate> {
  const { namespace, name, hosts } = place
  const stored = await client.get(secrets, name, namespace)
  const text = (key: string): string => Buffer.from(stored?.data?.[key] ?? '', 'base64').toString()
  const [ca, caKey, certificate, key] = [text('ca.crt'), text('ca.key'), text('tls.crt'), text('tls.key')]
  const isWhole = ca !== '' && certificate !== '' && key !== ''
  if (isWhole && isFresh(certificate, certificateDays, now)) return { ca, certificate, key }
  const authority =
    isWhole && caKey !== '' && isFresh(ca, authorityDays, now)
      ? await CertificateAuthority.load({ certificate: ca, key: caKey })
      : await CertificateAuthority.create('firebreak', authorityDays)
  const issued = await authority.server({ name: 'firebreak-operator' }, hosts, certificateDays)
  const exported = await authority.export()
  const texts = {
    'ca.crt': exported.certificate,
    'ca.key': exported.key,
    'tls.crt': issued.certificate,
    'tls.key': issued.key,
  }
  const secret = {
    metadata: {
      name,
      namespace,
      ...(stored?.metadata.resourceVersion && { resourceVersion: stored.metadata.resourceVersion }),
    },
    type: 'Opaque',
    data: Object.fromEntries(
      Object.entries(texts).map(([key, text]) => [key, Buffer.from(text).toString('base64')]),
    ),
  }
  try {
    await (stored ? client.replace(secrets, secret) : client.create(secrets, secret))
  } catch (error) {
    // another replica was faster: its certificate is the one
    if (!(error instanceof ApiError && error.status === 409)) throw error
    return await keepServingCertificate(client, place, now)
  }
  return { ...issued, ca: exported.certificate }
}

function isFresh(certificate: string, days: number, now: number): boolean {
  return CertificateAuthority.lapsesAt(certificate).getTime() - now > (days * day) / 3
}
