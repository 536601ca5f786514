/** What a gateway to a Kubernetes API is told in tests: one role, and an agent on loopback that may use it. */

export interface KubernetesShop {
  readonly address: string
  /** The server is verified by `ca.crt` beside the manifests. Absent: nothing is encrypted. */
  readonly isVerified?: boolean
  /** Of its role. Absent: a variable's password. */
  readonly credential?: string
  /** More lines of the resource's spec. */
  readonly resource?: string
  /** More lines of the policy's spec. */
  readonly policy?: string
  readonly rules: string
}

export function kubernetesManifests({
  address,
  isVerified,
  credential = '{env: {password: SHOP_PASSWORD}}',
  resource = '',
  policy = '',
  rules,
}: KubernetesShop): string {
  return `apiVersion: firebreak.dev/v1alpha1
kind: ProtectedResource
metadata: {name: shop}
spec:
  type: kubernetes
  address: ${address}
  tls: ${isVerified ? '{mode: verify-full, ca: {file: {path: ca.crt}}}' : '{mode: disable}'}
  roles: [{name: agent, credential: ${credential}}]
${resource}---
apiVersion: firebreak.dev/v1alpha1
kind: AgentIdentity
metadata: {name: tester}
spec:
  authentication: {loopback: {}}
  access: [{resource: shop, roles: [agent]}]
---
apiVersion: firebreak.dev/v1alpha1
kind: GuardrailPolicy
metadata: {name: guard}
spec:
${policy}  rules:
${rules}`
}
