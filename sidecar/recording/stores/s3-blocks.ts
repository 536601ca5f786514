/** Recordings as objects, for one who may put objects and nothing else: a block each, as they stay. */
import { isRecordingName, type RecordingSink, type RecordingSinks } from '../store.ts'
import { blockKey } from './s3.ts'
import { S3Bucket, type S3Target } from './s3-bucket.ts'

export class S3Blocks implements RecordingSinks {
  readonly #bucket: S3Bucket

  constructor(target: S3Target) {
    this.#bucket = new S3Bucket(target)
  }

  get place(): string {
    return this.#bucket.place
  }

  renew(target: S3Target): void {
    this.#bucket.renew(target)
  }

  /** Whether there is one of that name can't be looked at; names are references, which are drawn anew for each session. */
  async create(id: string): Promise<RecordingSink> {
    if (!isRecordingName(id)) throw new Error(`${id} is no name of a recording`)
    let length = 0
    return {
      append: async (bytes) => {
        await this.#bucket.put(blockKey(id, length), bytes)
        length += bytes.length
      },
      // each answer to an append says that it is safe
      sync: async () => {},
      close: async () => {},
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#bucket[Symbol.dispose]()
  }
}
