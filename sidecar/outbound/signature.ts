import { createHmac } from 'node:crypto'

/** @returns headers by which a receiver that knows the secret can tell that a request is ours, and when it was made. */
export function signatureHeaders(secret: string, body: string): Record<string, string> {
  const timestamp = Math.floor(Date.now() / 1_000)
  return {
    'firebreak-timestamp': String(timestamp),
    'firebreak-signature': `sha256=${signature(secret, timestamp, body)}`,
  }
}

/** HMAC-SHA256 over timestamp, dot and body in hexadecimal: with the time in it, an old request can't be sent again. */
export function signature(secret: string, timestamp: number, body: string): string {
  return createHmac('sha256', secret).update(`${timestamp}.${body}`).digest('hex')
}
