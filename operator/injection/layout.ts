/** Where things are in an agent's pod. The sidecar's programs get these as arguments, so that they are said once. */

export const layout = {
  /** Names of what is injected; no other container or volume of a pod may begin so. */
  prefix: 'firebreak-',
  rulesContainer: 'firebreak-rules',
  envoyContainer: 'firebreak-envoy',
  enforcerContainer: 'firebreak-enforcer',
  runVolume: 'firebreak-run',
  clientVolume: 'firebreak-clients',
  tokenVolume: 'firebreak-token',
  spoolVolume: 'firebreak-spool',
  /** Sockets between Envoy and the enforcer, in memory; no other container mounts it. */
  runDirectory: '/run/firebreak',
  /** What clients of the agent's are told: written by the enforcer, read by everybody. */
  clientDirectory: '/etc/firebreak',
  /** In it. */
  kubeconfig: 'kubeconfig',
  trustBundle: 'ca.crt',
  /** In place of the pod's own, where the cluster's API is protected: the same token, and what else is to be trusted. */
  accountVolume: 'firebreak-account',
  tokenDirectory: '/var/run/secrets/firebreak',
  /** Audit lines that wait for sinks elsewhere; no other container mounts it. */
  spoolDirectory: '/var/spool/firebreak',
  /** Audience of the token by which a sidecar proves its pod to the operator. Only the enforcer has it. */
  controlAudience: 'firebreak-control',
  /** On all addresses, for the kubelet: tells whether the pod is contained, and nothing else. */
  readinessPort: 15021,
  /** On loopback: where agents ask the sidecar itself, for delegations and more rights. */
  apiPort: 15022,
  /** The first of the loopback ports that stand for protected resources. */
  firstResourcePort: 15432,
} as const

/** The range of the UIDs that the sidecars run with, drawn anew for each pod: no image can be built to run as one. */
export const uidRange = { from: 1_000_000_000, to: 2_000_000_000 } as const
