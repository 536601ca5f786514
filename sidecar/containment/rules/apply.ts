/** Puts the rules into the network namespace that this process is in, and doesn't believe it until it has read them. */
import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { chains, ruleset, type SidecarUsers, tableName } from './rules.ts'

/** The rules are not in force. In words for whoever reads the init container's log. */
export class ContainmentError extends Error {
  override readonly name = 'ContainmentError'
}

/** @throws ContainmentError; nothing of the agent may start then. */
export async function contain(users: SidecarUsers): Promise<void> {
  await nft(['-f', '-'], ruleset(users))
  const problem = differs(JSON.parse(await nft(['-j', 'list', 'table', 'inet', tableName])), users)
  if (problem) throw new ContainmentError(`the kernel holds other rules than it was given: ${problem}`)
}

async function nft(words: readonly string[], input = ''): Promise<string> {
  const child = spawn('nft', words, { stdio: 'pipe' })
  const failed = new Promise<never>((_, reject) =>
    child.once('error', (error: NodeJS.ErrnoException) =>
      reject(
        new ContainmentError(
          error.code === 'ENOENT' ? 'there is no program nft here' : `nft can't be run: ${error.message}`,
        ),
      ),
    ),
  )
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  // nft may be gone before it has read everything; its exit code says so
  child.stdin.on('error', () => {}).end(input)
  const outcome = Promise.all([text(child.stdout), text(child.stderr), ended])
  const [output, errors, code] = await Promise.race([outcome, failed])
  if (code !== 0) throw new ContainmentError(reasonOf(errors))
  return output
}

function reasonOf(errors: string): string {
  if (errors.includes('Operation not permitted'))
    return "the rules can't be set: it takes root with the capability NET_ADMIN"
  const said = errors.split('\n').slice(0, 3).join(' ').trim()
  return `nft did not take the rules (the kernel needs nf_tables with NAT and conntrack): ${said}`
}

interface Listed {
  readonly nftables?: readonly {
    readonly chain?: Readonly<Record<string, unknown>> & { readonly name: string }
    readonly rule?: { readonly chain: string; readonly expr: readonly unknown[] }
  }[]
}

/**
 * nft writes rules in other words than it reads, in each version in others. What can be held against each other are the
 * chains with hook and policy, how many rules each has, and the users that they are about.
 *
 * @param listed what `nft -j list table` says. @returns what is different, in words.
 */
export function differs(listed: Listed, users: SidecarUsers): string | undefined {
  const objects = listed.nftables ?? []
  const wanted = chains(users)
  const there = objects.flatMap(({ chain }) => (chain ? [chain] : []))
  if (there.length !== wanted.length) return `there are ${there.length} chains instead of ${wanted.length}`
  for (const { name, hook, rules } of wanted) {
    const chain = there.find((candidate) => candidate.name === name)
    if (!chain) return `there is no chain ${name}`
    const found = [chain.type, chain.hook, chain.prio, chain.policy]
    const expected = hook
      ? [hook.type, hook.on, hook.priority, hook.policy]
      : [undefined, undefined, undefined, undefined]
    if (found.join() !== expected.join()) return `chain ${name} is ${found.join(' ')}`
    const own = objects.flatMap(({ rule }) => (rule?.chain === name ? [rule] : []))
    if (own.length !== rules.length) return `chain ${name} has ${own.length} rules instead of ${rules.length}`
    const named = new Set(own.flatMap(({ expr }) => usersIn(expr)))
    if ([...named].some((user) => user !== users.envoy && user !== users.enforcer))
      return `chain ${name} excepts another user`
  }
  return undefined
}

/** The users that a rule names one by one. */
function usersIn(expression: readonly unknown[]): number[] {
  return expression.flatMap((part) => {
    const { match } = part as { match?: { left?: { meta?: { key?: string } }; right?: unknown } }
    if (match?.left?.meta?.key !== 'skuid') return []
    const { set } = match.right as { set?: readonly number[] }
    return set ?? []
  })
}
