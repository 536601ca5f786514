/** What a body was before its mask, for the session's recording: until what the mask makes of it goes out. */
import type { BodyMask } from '../request.ts'

/** More is not kept back for the mask's next bytes. */
const mostWaiting = 64 * 1024

export class KeptBody {
  readonly #overflow: (bytes: Buffer) => void
  #waiting: Buffer[] = []
  #length = 0

  /** @param overflow told what nothing has gone out for. */
  constructor(overflow: (bytes: Buffer) => void) {
    this.#overflow = overflow
  }

  /** @returns the same mask, of whose bytes none is forgotten. */
  watch(mask: BodyMask): BodyMask {
    return {
      head: mask.head,
      codings: mask.codings,
      get masked() {
        return mask.masked
      },
      push: (chunk) => {
        // the mask may change it
        this.#waiting.push(Buffer.from(chunk))
        this.#length += chunk.length
        const masked = mask.push(chunk)
        if (masked.ok && masked.value.length === 0 && this.#length > mostWaiting) this.flush()
        return masked
      },
      end: () => mask.end(),
    }
  }

  /** @returns what the next bytes were made of; nothing where others before them were made of the same. */
  take(): Buffer {
    const taken = Buffer.concat(this.#waiting, this.#length)
    this.#waiting = []
    this.#length = 0
    return taken
  }

  /** Nothing goes out for it any more, or not soon. */
  flush(): void {
    if (this.#length > 0) this.#overflow(this.take())
  }
}
