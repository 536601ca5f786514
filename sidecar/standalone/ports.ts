/** Ports of loopback that nobody has named. */
import type { Address } from '../listen/listener.ts'

/** The protocol's own port if it is free, or else one of the next few, or else any. */
export async function openNear<Open>(port: number, open: (address: Address) => Promise<Open>): Promise<Open> {
  for (let offset = 0; offset < 10; offset++) {
    try {
      return await open({ host: '127.0.0.1', port: port + offset })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    }
  }
  return await open({ host: '127.0.0.1', port: 0 })
}
