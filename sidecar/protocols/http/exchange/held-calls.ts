/** What waits for people on behalf of clients, by the names that those give it, so that they can take it back. */
import type { GuardedSession } from '../../../session.ts'
import { whoseIs } from './conversation.ts'

const waiting = new Map<string, Set<AbortController>>()

/** @param names unique among what its owner asks for. @returns what forgets them. */
export function awaitPeople(names: readonly string[], asking: AbortController): Disposable {
  for (const name of names) waiting.set(name, (waiting.get(name) ?? new Set()).add(asking))
  return {
    [Symbol.dispose]() {
      for (const name of names) {
        const others = waiting.get(name)
        others?.delete(asking)
        if (others?.size === 0) waiting.delete(name)
      }
    },
  }
}

export function cancel(names: readonly string[]): void {
  for (const name of names) for (const asking of waiting.get(name) ?? []) asking.abort()
}

/** Names as a conversation has them, unique among all agents. */
export function namesOf(names: readonly string[], session: GuardedSession): readonly string[] {
  const { owner } = whoseIs(session)
  return names.map((name) => JSON.stringify([owner, name]))
}
