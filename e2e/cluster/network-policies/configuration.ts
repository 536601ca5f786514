import type { KeyAndCertificate } from '../../../operator/certificates/authority.ts'
import type { Server } from '../kubeconfig.ts'

/** While this file is among the announcements, the enforcer is as a network plugin that knows no NetworkPolicies. */
export const ignoringFile = 'network-policies.ignored'

export interface EnforcerConfiguration {
  readonly server: Server
  readonly certificate: KeyAndCertificate
  /** Directory in which the CNI plugin announces pods. */
  readonly announcements: string
}
