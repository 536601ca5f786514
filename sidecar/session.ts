/**
 * The seam between the stations of the data plane and a protocol.
 *
 * A protocol owns the bytes: it learns who connects, opens the way to the target, turns what passes into
 * commands and turns decisions into its own kind of answer. Everything that is the same for all protocols
 * (proof of identity, the decision, limits, audit, the end of a session's life) it asks of a
 * {@link Gateway} and a {@link GuardedSession}.
 */
import type { Socket } from 'node:net'
import type { Command, Decision, Limits, QualifiedName, SessionTerms, Subject } from '@firebreak/policy'

/** A value, or why there is none. For errors that the caller must handle. */
export type Result<Value, Failure> =
  | { readonly ok: true; readonly value: Value }
  | { readonly ok: false; readonly error: Failure }

/** The way to a protected system, with everything but the role's credential. */
export interface Target {
  readonly host: string
  readonly port: number
  readonly database?: string
  readonly tls: TargetTls
  /** Of an HTTP API. */
  readonly http?: HttpTarget
}

export interface HttpTarget {
  readonly host: string
  readonly authentication: HttpAuthentication
  /** Paths at and below which GraphQL is served. */
  readonly graphql: readonly string[]
  /** Paths at and below which gRPC is served. */
  readonly grpc: readonly string[]
  /** Paths at and below which the Model Context Protocol is served. */
  readonly mcp: readonly string[]
  readonly openapi?: OpenApiSource
  /** Whether conditions may ask for fields of bodies. */
  readonly readBodies: boolean
}

/** As a configuration has it: one of its own in each. */
export interface OpenApiSource {
  /** The API's OpenAPI document, as text. */
  readonly document: string
}

/** How an HTTP API takes the role's credential. */
export type HttpAuthentication =
  | { readonly as: 'bearer' | 'basic' | 'none' }
  | { readonly as: 'header' | 'query'; readonly name: string }
  /** An access token, which is asked for there. */
  | { readonly as: 'oauth2'; readonly tokenUrl: string }
  /** A signature of each request. */
  | { readonly as: 'aws'; readonly service: string; readonly region: string }

export type TargetTls =
  | { readonly mode: 'disable' }
  | {
      readonly mode: 'require' | 'verify-ca' | 'verify-full'
      /** PEM. Absent: the system's roots. */
      readonly ca?: string
      readonly serverName?: string
    }

/** The downstream account of a role. Lives in memory only; never logged, never in an error. */
export interface Credential {
  readonly username: string
  readonly password?: string
  readonly clientCertificate?: { readonly certificate: string; readonly key: string }
  /** What the target takes instead of name and password, which it never sees then. */
  readonly accessToken?: string
}

/** How a session's own downstream account is to be. */
export interface AccountTerms {
  /** Where its rights come from. The first takes over what the account leaves behind. */
  readonly memberOf: readonly [string, ...string[]]
  readonly validForSeconds: number
}

/** What became of a session's own account. */
export type AccountEvent =
  | { readonly kind: 'made' | 'dropped'; readonly account: string }
  /** It is there still, and a person has to look. */
  | { readonly kind: 'left'; readonly account: string; readonly reason: string }

/** Why a session is not to be, or may not go on. Each protocol has its own words for it. */
export interface Refusal {
  readonly code: 'unauthenticated' | 'forbidden' | 'unavailable' | 'expired'
  readonly message: string
  readonly hint?: string
  /** Finds the matching audit line. */
  readonly reference: string
}

/** What a client presents before a session exists. */
export interface Claim {
  readonly remoteAddress: string
  /** The role asked for, by the protocol's user name: `reader`, `reader@sql-worker`. Absent: the identity's only one. */
  readonly role?: string
  /** A token, where the protocol has a place for one (a password message). */
  readonly token?: string
}

/** What there is in a protected system that may be classified. Never changes; what is read anew is another one. */
export interface Inventory {
  /** Full names from the outside in, of columns or fields. Asked only when they are compared with a classification. */
  names(): Iterable<readonly string[]>
}

/** PEM texts. */
interface Certified {
  readonly certificate: string
  readonly key: string
}

/** The stations, as seen by one listener for one protected resource. */
export interface Gateway {
  readonly resource: QualifiedName
  /** As it is now: it may be another one for each request, and in the middle of one. */
  readonly target: Target
  /** Certificate for clients that ask for TLS; absent: TLS is declined. `byName`: for those of HTTP that say a host's name. */
  readonly clientTls?: Certified & { readonly byName?: Certified | undefined }
  /** Whether a client of this user name has to send a token; otherwise being on this listener proves who it is. */
  asksForToken(user: string | undefined): boolean
  /**
   * A protocol that can tell what there is says so when a session begins, and whenever it changes. Names that are
   * classified and that are not there are told to whom runs the gateway.
   *
   * @param part of the system that it is about, where there are several: a database.
   */
  takeInventory(part: string, inventory: Inventory): void
  /** Proves the identity and opens a session; refusals are audited by the gateway. */
  open(claim: Claim): Promise<Result<GuardedSession, Refusal>>
}

/** What happened to a command. */
export interface Outcome {
  readonly rows: number
  /** Response bytes that went to the client. */
  readonly bytes: number
  /** Labels of the fields that were masked. */
  readonly maskedFields: readonly string[]
  readonly milliseconds: number
  /** From the arrival of its bytes to its decision, as far as nobody was asked; absent where that isn't known. */
  readonly addedMilliseconds?: number
  /** Of these, those until it was known what the command does; absent where that was known before. */
  readonly analysisMilliseconds?: number | undefined
  /** Whether it went to the target; absent where it did not. */
  readonly sent?: boolean
  /** By which number the target has answered, where its protocol has numbers for success as well. */
  readonly status?: number | undefined
  /** The target's or the gateway's error, by code and already free of masked values. */
  readonly error?: { readonly code: string; readonly message: string }
}

/** A limit that was hit, in words for the client. */
export interface LimitReached {
  readonly limit: keyof Limits
  readonly message: string
}

/** A bound value. */
export interface HeldParameter {
  /** Its type and format as the protocol tells them; an approval is bound to them as well. */
  readonly encoding: string
  readonly value: Uint8Array | null
  /** All of it, as people are to see it; undefined when that would be too long for anybody. */
  readonly shown: string | undefined
}

/** Commands that policy holds, as people are to see them and as they would run. */
export interface HeldCommand {
  /** Of the audit line of the first one that is held. */
  readonly reference: string
  /** All that would run together, in order, as one message brings them. */
  readonly commands: readonly Command[]
  /** Exactly what would be sent. An approval is bound to these bytes. */
  readonly statement: Uint8Array
  /** The same as people are to see it. */
  readonly text: string
  readonly parameters: readonly HeldParameter[]
  /** What else the text depends on, in words: `database orders`, `search_path public`. An approval is bound to it. */
  readonly context: readonly string[]
  /** How much it would change, in words (`~1204 rows`), asked only where it can be had without changing anything. */
  readonly estimate?: () => Promise<string | undefined>
  /** Aborted when the client gives up or is gone: the request is withdrawn. */
  readonly signal: AbortSignal
  /** Told once people are asked: the request's name, and words for the client, `held for approval as approvalrequest/NAME (…)`. */
  readonly onAsked: (request: string, message: string) => void
}

/**
 * `approved`: it may run, now and once; that it was used is on disk already. Time has passed, so it has to be
 * analysed again: the approval is for what `permits` takes.
 * `refused`: denied, expired, withdrawn, or still waiting where the policy says that clients don't wait.
 */
export type HoldOutcome =
  | {
      readonly kind: 'approved'
      readonly request: string
      /** Whether the commands are still what was approved, under the policy in force now. */
      readonly permits: (commands: readonly Command[]) => boolean
    }
  | { readonly kind: 'refused'; readonly request?: string; readonly message: string; readonly hint?: string }

/** One authenticated connection of one identity to one role of one resource. */
export interface GuardedSession extends Disposable {
  readonly id: string
  /** Replaced by another object when rights are granted for a while, and when they end. */
  readonly subject: Subject
  /** Aborted when the session may not go on (expired, revoked, shutdown); the reason is a {@link Refusal}. */
  readonly signal: AbortSignal
  /** Secret of the installation that keyed hashes and kept formats are made with. */
  readonly maskKey: Uint8Array
  /** Under the revision in force now. */
  readonly terms: SessionTerms
  /**
   * The role's credential as it is now, to be shown to that target alone. Fails, with a refusal that names no secret, where the
   * resource has another target meanwhile.
   */
  credential(target: Target): Promise<Result<Credential, Refusal>>
  /** Set by a protocol that stays connected to one target: the session ends once its resource has another one. */
  staysAt: Target | undefined
  /** The target doesn't take it any more. @returns whether {@link credential} may have another one now. */
  credentialRefused(credential: Credential): boolean
  /** Set where the session gets an account of its own, made with the {@link credential}. */
  readonly ownAccount: AccountTerms | undefined
  /** Puts into the audit trail what became of the {@link ownAccount}. */
  auditAccount(event: AccountEvent): void
  /** Pure and cached; asks the revision in force now. */
  decide(command: Command): Decision
  /** Tells whenever {@link decide} and {@link terms} may say something else than before, while the session goes on. */
  watch(changed: () => void): Disposable
  /**
   * Counts a command towards the rate limits, before it is sent.
   * @returns the limit it would break, or undefined when it may go.
   */
  admit(): LimitReached | undefined
  /** Counts rows and bytes of a response as they pass. @returns the limit that is now broken, if any. */
  meter(rows: number, bytes: number): LimitReached | undefined
  /** A fresh, short, sortable reference that ties an error the client sees to its audit line. */
  reference(): string
  /**
   * Writes the audit line of one command. Must be called exactly once per command, denied ones too.
   * Never throws; a sink that cannot take it makes {@link ready} wait or spools, as the policy says.
   */
  audit(entry: CommandAudit): void
  /** Asks people about a command that policy holds, and waits for their answer. Never rejects. */
  hold(held: HeldCommand): Promise<HoldOutcome>
  /** Set by the protocol: says something to the client that is no answer to a command. */
  onNotice: ((message: string) => void) | undefined
  /** Set by the protocol: whether the target is doing something for the client, who is not idle then. */
  busy: (() => boolean) | undefined
  /** Set while the session is recorded; may change between any two messages. */
  readonly recorder: SessionRecorder | undefined
  /** Set by the protocol: about how many rows an object has, by its dotted name; undefined where nobody can say. */
  sizeOf: ((object: string) => Promise<number | undefined>) | undefined
  /** Resolves when the stations can take more; a protocol awaits it before reading on when it is not undefined. */
  ready(): Promise<void> | undefined
}

/** A command that was decided, and is about to run or to be refused. */
export interface RecordedCommand extends Pick<CommandAudit, 'reference' | 'command' | 'decision'> {
  readonly text: string | undefined
  readonly parameters: CommandAudit['parameters'] | undefined
}

/**
 * Takes what a session shows its client, to be replayed. Outcomes come from {@link GuardedSession.audit}; the protocol
 * says where in the stream of bytes the answer to a command ends.
 */
export interface SessionRecorder {
  began(command: RecordedCommand): void
  /** Whether it takes what masks hid as well. */
  readonly keepsUnmasked: boolean
  /**
   * What comes now is of this command, until it is of another one: the same object each time. For a protocol whose commands are
   * answered at once; where one is answered after the other, nobody calls it.
   */
  turnTo(command: { readonly reference: string }): void
  /** The command has its whole allowance again: something new was asked of it. */
  renew(): void
  /**
   * Bytes that go to the client, as they go. They are copied.
   *
   * @param unmasked what masks made them of, where it {@link keepsUnmasked}. Of what is masked as a whole, such as the body of a
   * response, each part has its own, which may be empty, and so may be the bytes.
   */
  response(bytes: Buffer, unmasked?: Buffer): void
  /** Data that the client sent for a command. */
  input(bytes: Buffer): void
  /** Whether a command was audited since the last {@link mark}. */
  readonly unplaced: boolean
  /** Set while answers of the target are looked at: what is audited now is over by them. */
  answering: boolean
  /**
   * The answers to the commands that were audited by them end here.
   *
   * @param ahead after so many bytes that are still to come.
   * @param refused those to commands that were refused before they ran as well.
   */
  mark(ahead: number, refused: boolean): void
  /** Resolves when more can be taken; a protocol pauses its server while it is not undefined. */
  ready(): Promise<void> | undefined
}

export interface CommandAudit {
  readonly reference: string
  readonly command: Command
  readonly decision: Decision
  readonly outcome: Outcome
  /** The exact text where the command was recognised by its form: commands that differ only in constants share one object. */
  readonly text?: string
  /** Bound values of the command, as text; the audit station decides whether they are written. */
  readonly parameters?: readonly (string | null)[]
  /** The request by which people agreed, or did not. */
  readonly approval?: string
  /** The `traceparent` that the client sent beside the command, where the protocol has a place for one. */
  readonly traceParent?: string | undefined
}

/** A protocol: it serves one client connection to its end. Rejections are bugs; what clients and servers do wrong is handled inside. */
export interface Protocol {
  serve(client: Socket, gateway: Gateway): Promise<void>
  /** Drops the accounts in the target that an earlier process made for its sessions and, being killed, left. Never rejects. */
  dropLeftAccounts?(target: Target, credential: Credential): Promise<void>
}
