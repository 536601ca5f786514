import type { Server } from '../kubeconfig.ts'
import type { KeyAndCertificate } from '../pki.ts'

export interface EnforcerConfiguration {
  readonly server: Server
  readonly certificate: KeyAndCertificate
  /** Directory in which the CNI plugin announces pods. */
  readonly announcements: string
}
