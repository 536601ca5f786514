/** What the operator, the enforcer and Envoy have to agree on within a pod. */
export const places = {
  /** On loopback, IPv4 and IPv6: where the rules in the pod send every connection of the agent. */
  capturePort: 15001,
  /** In the run directory: where Envoy hands captured connections to the enforcer, with PROXY protocol version 2. */
  captureSocket: 'capture.sock',
  /** In the run directory: where the enforcer gives Envoy its configuration. */
  configurationSocket: 'configuration.sock',
  /** In the run directory: Envoy's administration, which no network reaches. */
  adminSocket: 'admin.sock',
} as const
