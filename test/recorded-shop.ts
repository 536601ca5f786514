/** Sessions of agents that a real gateway recorded in front of a real PostgreSQL, and the CLI that looks at them. */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { RecordingTarget } from '@firebreak/sidecar'
import type pg from 'pg'
import { manifests } from './policies.ts'
import { Guard, Shop } from './shop.ts'

const main = fileURLToPath(new URL('../cli/main.ts', import.meta.url))

/** What no terminal and no page may obey: an end of a script, HTML, control sequences, a change of direction, a URL. */
export const hostile =
  '</script><img src=http://attacker.invalid/x onerror=alert(1)>\u001b]0;own\u0007\u202egnp\u2028'

const rules = `    - {name: anything, match: {actions: ["sql:*"]}, effect: allow}
    - {name: no-drop, match: {actions: ["sql:drop"]}, effect: deny, message: Ask a person.}
    - {name: hide, match: {tags: ["pii/*"]}, effect: mask, mask: {strategy: redact}}
`

/** Where sessions are recorded, if not in the gateway's directory. */
export interface RecordingsElsewhere {
  readonly target: RecordingTarget
  /** By which the CLI finds them. */
  readonly words: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
}

export class RecordedShop implements AsyncDisposable {
  readonly directory: string
  readonly #place: RecordingsElsewhere | undefined
  readonly #stack: AsyncDisposableStack

  /** @param sessions one after the other. */
  static async start(
    sessions: readonly ((client: pg.Client) => Promise<unknown>)[],
    recording = '{mode: full, bytesPerCommand: 4096}',
    placeFor?: (shop: Shop) => Promise<RecordingsElsewhere>,
    unmaskedRecipients: readonly string[] = [],
  ): Promise<RecordedShop> {
    await using stack = new AsyncDisposableStack()
    const shop = stack.use(await Shop.start())
    await shop.create('shop')
    const place = await placeFor?.(shop)
    const guard = stack.use(
      await Guard.start(
        {
          'firebreak.yaml': manifests({
            address: `127.0.0.1:${shop.postgres.port}`,
            database: 'shop',
            rules,
            classification: '[{tags: [pii/email], columns: [public.customers.email]}]',
            more: `  recording: ${recording}\n`,
          }),
        },
        shop.postgres.password,
        { unmaskedRecipients, ...(place && { recordings: place.target }) },
      ),
    )
    for (const session of sessions) {
      const client = await shop.connect(guard.address, 'shop')
      await session(client)
      await client.end()
    }
    await guard.stop()
    return new RecordedShop(guard.directory, place, stack.move())
  }

  private constructor(
    directory: string,
    place: RecordingsElsewhere | undefined,
    stack: AsyncDisposableStack,
  ) {
    this.directory = directory
    this.#place = place
    this.#stack = stack
  }

  /** Runs `firebreak` with the recordings' place. */
  firebreak(...words: string[]): { status: number | null; output: string; stderr: string } {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [main, ...words, '--config', this.directory, ...(this.#place?.words ?? [])],
      {
        encoding: 'utf8',
        env: {
          ...process.env,
          ...this.#place?.environment,
          NO_COLOR: '1',
          XDG_STATE_HOME: `${this.directory}/home`,
        },
        maxBuffer: 64 * 1024 * 1024,
      },
    )
    return { status, output: stdout, stderr }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync()
  }
}
