/** @returns manifests of the agent `support-bot` and of a PostgreSQL `shop` that it may use, in the namespace `agents`. No policy. */
export function shopInCluster(address: string, password: string): string {
  return `apiVersion: v1
kind: Namespace
metadata: {name: agents}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: bot, namespace: agents}
---
apiVersion: v1
kind: Secret
metadata: {name: shop-agent, namespace: agents}
stringData: {username: postgres, password: "${password}"}
---
apiVersion: firebreak.dev/v1alpha1
kind: ProtectedResource
metadata: {name: shop, namespace: agents}
spec:
  type: postgresql
  address: ${address}
  database: shop
  tls: {mode: disable}
  roles: [{name: agent, credential: {secret: {name: shop-agent}}}]
---
apiVersion: firebreak.dev/v1alpha1
kind: AgentIdentity
metadata: {name: support-bot, namespace: agents}
spec:
  workload: {podSelector: {matchLabels: {app: support-bot}}}
  access: [{resource: shop, roles: [agent]}]
---
`
}
