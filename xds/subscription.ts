/**
 * What one stream has of one type: decides what is sent next, and what an answer was about.
 * https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol
 */
import { create, type MessageInitShape } from '@bufbuild/protobuf'
import type { AnySchema } from '@bufbuild/protobuf/wkt'
import {
  type DeltaDiscoveryRequest,
  type DeltaDiscoveryResponse,
  DeltaDiscoveryResponseSchema,
  type DiscoveryRequest,
  type DiscoveryResponse,
  DiscoveryResponseSchema,
} from './generated/envoy/service/discovery/v3/discovery_pb.js'
import { type Resources, type VersionedResource, versionOf } from './resources.ts'

/** How a client answered what it was sent last. */
export interface Verdict {
  /** By name, the versions that were judged: all that the client has with this answer, if it took them. */
  readonly versions: ReadonlyMap<string, string>
  /** Why it didn't take them. */
  readonly refusal?: string
}

export interface Subscription<Request, Response> {
  /** @returns undefined where the request is no answer, or one to something older than what was sent last. */
  receive(request: Request): Verdict | undefined
  /** @returns what has to be sent for the client to have these, or undefined. */
  take(resources: Resources): Response | undefined
}

/** A client's words end up in a status, which has its limits. */
const longestRefusal = 500

abstract class Answers {
  #count = 0
  #last: { readonly nonce: string; readonly versions: ReadonlyMap<string, string> } | undefined

  protected sent(versions: ReadonlyMap<string, string>): string {
    const nonce = String(++this.#count)
    this.#last = { nonce, versions }
    return nonce
  }

  protected verdict(nonce: string, error: { readonly message: string } | undefined): Verdict | undefined {
    if (nonce === '' || nonce !== this.#last?.nonce) return undefined
    const { versions } = this.#last
    if (!error) return { versions }
    return { versions, refusal: error.message.replaceAll(/\s+/g, ' ').trim().slice(0, longestRefusal) }
  }
}

/** Only what has changed is sent. */
export class DeltaSubscription
  extends Answers
  implements Subscription<DeltaDiscoveryRequest, DeltaDiscoveryResponse>
{
  readonly #typeUrl: string
  readonly #names = new Set<string>()
  /** What the client has by name; undefined: it was told that there is none. */
  readonly #known = new Map<string, string | undefined>()
  #all = false
  #first = true
  /** A client that asks for the first time waits for an answer, even an empty one. */
  #owesAnswer = true

  constructor(typeUrl: string) {
    super()
    this.#typeUrl = typeUrl
  }

  receive(request: DeltaDiscoveryRequest): Verdict | undefined {
    const { resourceNamesSubscribe: wanted, resourceNamesUnsubscribe: unwanted } = request
    if (this.#first) {
      for (const [name, version] of Object.entries(request.initialResourceVersions))
        this.#known.set(name, version)
      if (wanted.length === 0) this.#all = true
    }
    for (const name of wanted) {
      if (name === '*') this.#all = true
      else {
        this.#names.add(name)
        // who asks again for what it was sent has lost it
        if (!this.#first) this.#known.delete(name)
      }
    }
    for (const name of unwanted) {
      if (name === '*') this.#all = false
      this.#names.delete(name)
      this.#known.delete(name)
    }
    this.#first = false
    return this.verdict(request.responseNonce, request.errorDetail)
  }

  take(resources: Resources): DeltaDiscoveryResponse | undefined {
    const changed: VersionedResource[] = []
    const removed: string[] = []
    for (const name of this.#concerned(resources)) {
      const resource = resources.get(name)
      if (this.#known.has(name) && this.#known.get(name) === resource?.version) continue
      if (resource) changed.push(resource)
      else removed.push(name)
      if (resource || this.#names.has(name)) this.#known.set(name, resource?.version)
      else this.#known.delete(name)
    }
    if (changed.length === 0 && removed.length === 0 && !this.#owesAnswer) return undefined
    this.#owesAnswer = false
    const versions = new Map<string, string>()
    for (const [name, version] of this.#known) if (version !== undefined) versions.set(name, version)
    return create(DeltaDiscoveryResponseSchema, {
      typeUrl: this.#typeUrl,
      systemVersionInfo: versionOf(resources.values()),
      nonce: this.sent(versions),
      resources: changed.map(({ name, version, packed }) => ({ name, version, resource: any(packed) })),
      removedResources: removed,
    })
  }

  #concerned(resources: Resources): Set<string> {
    return this.#all ? new Set([...resources.keys(), ...this.#names, ...this.#known.keys()]) : this.#names
  }
}

/** With each change all resources of the type are sent. */
export class StateOfTheWorldSubscription
  extends Answers
  implements Subscription<DiscoveryRequest, DiscoveryResponse>
{
  readonly #typeUrl: string
  #names: readonly string[] = []
  #sentVersion: string | undefined

  constructor(typeUrl: string) {
    super()
    this.#typeUrl = typeUrl
  }

  receive({ resourceNames, responseNonce, errorDetail }: DiscoveryRequest): Verdict | undefined {
    const names = [...new Set(resourceNames)].sort()
    if (names.join('\n') !== this.#names.join('\n')) this.#sentVersion = undefined
    this.#names = names
    return this.verdict(responseNonce, errorDetail)
  }

  take(resources: Resources): DiscoveryResponse | undefined {
    const all = this.#names.length === 0 || this.#names.includes('*')
    const wanted = [...resources.values()].filter(({ name }) => all || this.#names.includes(name))
    const version = versionOf(wanted)
    if (version === this.#sentVersion) return undefined
    this.#sentVersion = version
    return create(DiscoveryResponseSchema, {
      typeUrl: this.#typeUrl,
      versionInfo: version,
      nonce: this.sent(new Map(wanted.map(({ name, version: own }) => [name, own]))),
      resources: wanted.map(({ packed }) => any(packed)),
    })
  }
}

function any({ typeUrl, value }: VersionedResource['packed']): MessageInitShape<typeof AnySchema> {
  return { typeUrl, value }
}
