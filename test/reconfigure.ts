import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { eventuallyWith } from './eventually.ts'

const eventually = eventuallyWith(() => 'as often as that a configuration was put in force', 30)

/**
 * Gives a running gateway another configuration, which it reads a moment later.
 *
 * @returns once that is in force; at once where it is the same.
 */
export async function reconfigure(
  { directory }: { readonly directory: string },
  text: string,
): Promise<void> {
  const path = join(directory, 'firebreak.yaml')
  if (readFileSync(path, 'utf8') === text) return
  // the line of the start may not be written yet, and would be taken for the next one
  const before = await eventually(() => timesApplied(directory), /^[1-9]/)
  writeFileSync(path, text)
  await eventually(() => timesApplied(directory), new RegExp(`^(?!${before}$)`))
}

/** By the audit trail, which has a line of each once it is in force. */
function timesApplied(directory: string): string {
  const trail = readFileSync(join(directory, 'audit.jsonl'), 'utf8')
  return String(trail.split('"event":"configuration.applied"').length - 1)
}
