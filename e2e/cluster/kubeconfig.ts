/** Kubeconfig files: where the API server is, how it proves itself, and as whom to talk to it. */
import { writeFileSync } from 'node:fs'
import { stringify } from 'yaml'
import type { KeyAndCertificate } from '../../operator/certificates/authority.ts'

export interface Server {
  /** Such as https://127.0.0.1:6443. */
  readonly endpoint: string
  /** PEM text of the authority that signed its certificate. */
  readonly ca: string
}

export type Credential = { readonly certificate: KeyAndCertificate } | { readonly token: string }

export function writeKubeconfig(path: string, server: Server, credential: Credential): string {
  const user =
    'token' in credential
      ? { token: credential.token }
      : {
          'client-certificate-data': base64(credential.certificate.certificate),
          'client-key-data': base64(credential.certificate.key),
        }
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name: 'test',
        cluster: { server: server.endpoint, 'certificate-authority-data': base64(server.ca) },
      },
    ],
    users: [{ name: 'user', user }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'user' } }],
    'current-context': 'test',
  }
  writeFileSync(path, stringify(config), { mode: 0o600 })
  return path
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64')
}
