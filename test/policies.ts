/** Manifests for tests, around the rules and limits that a test is about. */

export interface PolicyOptions {
  readonly address: string
  readonly database?: string
  readonly rules?: string
  readonly limits?: string
  readonly more?: string
  readonly authentication?: string
  readonly classification?: string
  readonly session?: string
  /** What the role `agent` is besides its name. */
  readonly role?: string
}

const everything = '    - {name: anything, match: {actions: ["sql:*"]}, effect: allow}\n'

/** One resource `shop`, one identity `tester`, one policy `guard`; everything is allowed unless rules say otherwise. */
export function manifests({
  address,
  database,
  rules = everything,
  limits,
  more = '',
  authentication = 'loopback: {}',
  classification,
  session,
  role = 'username: postgres, credential: {env: {password: SHOP_PASSWORD}}',
}: PolicyOptions): string {
  return `apiVersion: firebreak.dev/v1alpha1
kind: ProtectedResource
metadata: {name: shop}
spec:
  type: postgresql
  address: ${address}
${database === undefined ? '' : `  database: ${database}\n`}  tls: {mode: disable}
  roles: [{name: agent, ${role}}]
${classification === undefined ? '' : `  classification: ${classification}\n`}---
apiVersion: firebreak.dev/v1alpha1
kind: AgentIdentity
metadata: {name: tester}
spec:
  authentication: {${authentication}}
  access: [{resource: shop, roles: [agent]}]
${session === undefined ? '' : `  session: ${session}\n`}---
apiVersion: firebreak.dev/v1alpha1
kind: GuardrailPolicy
metadata: {name: guard}
spec:
  rules:
${rules}${limits === undefined ? '' : `  limits: ${limits}\n`}${more}`
}
