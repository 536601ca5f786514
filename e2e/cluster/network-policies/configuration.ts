import type { KeyAndCertificate } from '../../../operator/certificates/authority.ts'
import type { Server } from '../kubeconfig.ts'

export interface EnforcerConfiguration {
  readonly server: Server
  readonly certificate: KeyAndCertificate
  /** Directory in which the CNI plugin announces pods. */
  readonly announcements: string
}
