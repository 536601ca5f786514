/** What is asked of an S3-compatible object store, below one prefix of one bucket. */
import { Agent } from 'node:https'
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import type { RecordingTarget } from '../target.ts'

/** In milliseconds. */
const connectWithin = 3_000
const answerWithin = 10_000

export type S3Target = Extract<RecordingTarget, { kind: 's3' }>

export interface StoredObject {
  /** Without the prefix, as in all that follows. */
  readonly key: string
  readonly bytes: number
  readonly changedAt: Date
}

/** All methods throw Error in words. */
export class S3Bucket implements Disposable {
  readonly place: string
  readonly #bucket: string
  readonly #prefix: string
  #client: S3Client

  constructor(target: S3Target) {
    const { bucket, prefix } = target
    this.place = `s3://${bucket}/${prefix}`
    this.#bucket = bucket
    this.#prefix = prefix
    this.#client = clientFor(target)
  }

  /** @param target the same place, with what opens it now. */
  renew(target: S3Target): void {
    // what is under way with the client before still gets its answer
    this.#client = clientFor(target)
  }

  async put(key: string, bytes: Buffer): Promise<void> {
    await this.#ask((client, object) => client.send(new PutObjectCommand({ ...object(key), Body: bytes })))
  }

  async get(key: string, start: number, end: number): Promise<Buffer> {
    const { Body } = await this.#ask((client, object) =>
      client.send(new GetObjectCommand({ ...object(key), Range: `bytes=${start}-${end - 1}` })),
    )
    return Buffer.from((await Body?.transformToByteArray()) ?? [])
  }

  async remove(key: string): Promise<void> {
    await this.#ask((client, object) => client.send(new DeleteObjectCommand(object(key))))
  }

  /** In the order of their keys. @param start of all keys. */
  async *list(start: string): AsyncGenerator<StoredObject, undefined> {
    let token: string | undefined
    do {
      const { Contents = [], NextContinuationToken } = await this.#ask((client, object) => {
        const { Bucket, Key: Prefix } = object(start)
        return client.send(
          new ListObjectsV2Command({
            Bucket,
            Prefix,
            ...(token !== undefined && { ContinuationToken: token }),
          }),
        )
      })
      for (const { Key = '', Size = 0, LastModified = new Date(0) } of Contents)
        yield { key: Key.slice(this.#prefix.length), bytes: Size, changedAt: LastModified }
      token = NextContinuationToken
    } while (token !== undefined)
  }

  async beginUpload(key: string): Promise<string> {
    const { UploadId } = await this.#ask((client, object) =>
      client.send(new CreateMultipartUploadCommand(object(key))),
    )
    return UploadId ?? ''
  }

  async uploadPart(key: string, upload: string, number: number, bytes: Buffer): Promise<string> {
    const { ETag } = await this.#ask((client, object) =>
      client.send(
        new UploadPartCommand({ ...object(key), UploadId: upload, PartNumber: number, Body: bytes }),
      ),
    )
    return ETag ?? ''
  }

  async completeUpload(key: string, upload: string, tags: readonly string[]): Promise<void> {
    const Parts = tags.map((ETag, index) => ({ ETag, PartNumber: index + 1 }))
    await this.#ask((client, object) =>
      client.send(
        new CompleteMultipartUploadCommand({ ...object(key), UploadId: upload, MultipartUpload: { Parts } }),
      ),
    )
  }

  async abortUpload(key: string, upload: string): Promise<void> {
    await this.#ask((client, object) =>
      client.send(new AbortMultipartUploadCommand({ ...object(key), UploadId: upload })),
    )
  }

  [Symbol.dispose](): void {
    this.#client.destroy()
  }

  async #ask<Answer>(
    request: (client: S3Client, object: (key: string) => { Bucket: string; Key: string }) => Promise<Answer>,
  ): Promise<Answer> {
    try {
      return await request(this.#client, (key) => ({ Bucket: this.#bucket, Key: this.#prefix + key }))
    } catch (error) {
      throw new Error(`${this.place}: ${inWords(error)}`)
    }
  }
}

function clientFor({ endpoint, region, credentials, ca }: S3Target): S3Client {
  return new S3Client({
    ...(region !== undefined && { region }),
    ...(endpoint !== undefined && { endpoint, forcePathStyle: true }),
    // a copy: the client writes into what it gets
    ...(credentials && { credentials: { ...credentials } }),
    maxAttempts: 2,
    requestHandler: {
      connectionTimeout: connectWithin,
      requestTimeout: answerWithin,
      ...(ca !== undefined && { httpsAgent: new Agent({ ca, keepAlive: true, maxSockets: 50 }) }),
    },
    // recordings prove themselves, and not every service knows the newer checksums
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  })
}

function inWords(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.message === '' || error.message === error.name ? error.name : `${error.name}: ${error.message}`
}
