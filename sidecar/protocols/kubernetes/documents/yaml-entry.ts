/** One entry in YAML as written, while everything else stays as it is. */
import { isMap, isScalar, parseDocument, type YAMLMap } from 'yaml'

/** @returns undefined where the entry has no certain place. Who takes it has to read it again. */
export function withEntry(
  bytes: Buffer,
  [parent, name]: readonly [parent: string, name: string],
  value: string,
): Buffer | undefined {
  const text = bytes.toString('utf8')
  const { contents } = parseDocument(text, { prettyErrors: false })
  if (!isMap(contents)) return undefined
  const entry = `${name}: ${JSON.stringify(value)}`
  if (!contents.has(parent)) return inserted(text, contents, `${parent}: {${entry}}`)
  const inner = contents.get(parent, true)
  if (!isMap(inner)) return undefined
  const given = inner.get(name, true)
  if (given === undefined) return inserted(text, inner, entry)
  return isScalar(given) && given.range
    ? spliced(text, given.range[0], given.range[1], JSON.stringify(value))
    : undefined
}

/** Before the first of the map. */
function inserted(text: string, { flow, range, items }: YAMLMap, entry: string): Buffer | undefined {
  if (flow) return range ? spliced(text, range[0] + 1, range[0] + 1, `${entry}, `) : undefined
  const first = items[0]?.key
  if (!isScalar(first) || !first.range) return undefined
  const [start] = first.range
  const column = start - (text.lastIndexOf('\n', start - 1) + 1)
  return spliced(text, start, start, `${entry}\n${' '.repeat(column)}`)
}

function spliced(text: string, start: number, end: number, inserted: string): Buffer {
  return Buffer.from(text.slice(0, start) + inserted + text.slice(end))
}
