/** The loopback ports that the rules of a contained pod send its traffic to. */

/** Envoy takes every TCP connection here, on 127.0.0.1 and ::1, and finds out where it was meant to go. */
export const capturePort = 15001
/** The enforcer answers DNS here, UDP and TCP, on 127.0.0.1 and ::1. */
export const dnsPort = 15053
/** The enforcer tells the kubelet here whether the pod is contained. */
export const readinessPort = 15021
