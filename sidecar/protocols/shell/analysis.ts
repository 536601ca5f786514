/**
 * What a text has a shell do. It is read by a parser of Bash; what Bash and other shells of the POSIX language read
 * otherwise, or what could change how the next line is read, is not told.
 */
import {
  type Assignment,
  type Command,
  type CompoundList,
  parse,
  type Redirection,
  type Statement,
  type Word,
  type WordPart,
} from 'unbash'
import { print } from 'unbash/printer'
import type { ShellFacts } from './facts.ts'
import { baseName, givenText, readsCommands, startsItselfAlone } from './programs.ts'

/** Longer ones are not looked into. */
const maximumText = 64 * 1024
const maximumDepth = 32

/** Characters that a terminal or a shell may take for something else than a part of a word, but for spaces and line feeds. */
const uncertain =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it is about
  /[\u0000-\u0008\u000b-\u001f\u007f-\u00a0\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u2064\u3000\ufeff\ufffd]/

/** @returns undefined where it can't be told with certainty. */
export function factsOfText(text: string): ShellFacts | undefined {
  const found = new Found()
  return found.text(text, 0) ? found.facts() : undefined
}

/** Of a program that is started without a shell, though it may be one. */
export function factsOfProgram(argv: readonly string[]): ShellFacts | undefined {
  const found = new Found()
  return found.shell(argv) || found.program(argv, 0) ? found.facts() : undefined
}

/**
 * What a shell does with a text that it reads from its input, and with nothing for what it starts to read there: that
 * could take a part of the next line, and leave the rest to the shell.
 *
 * @param facts of the text.
 */
export function withoutInput(text: string, { programs }: ShellFacts): string {
  const startsNothing = Array.isArray(programs) && programs.length === 0
  // a group of nothing is an error
  return startsNothing ? `${text}\n` : `{ ${text}\n} </dev/null\n`
}

type Node = Statement['command'] | Statement | CompoundList

class Found {
  readonly #programs: string[] = []
  readonly #writes: string[] = []
  readonly #reads: string[] = []
  #arguments: string[] | undefined = []

  facts(): ShellFacts {
    return {
      programs: [...new Set(this.#programs)],
      writes: this.#writes,
      reads: this.#reads,
      ...(this.#arguments && { arguments: this.#arguments }),
    }
  }

  text(text: string, depth: number): boolean {
    if (depth > maximumDepth || text.length > maximumText || uncertain.test(text)) return false
    // the next line would go on with it
    if (text.endsWith('\\')) return false
    const script = parse(text)
    // a parser that is made for editors goes on after what it doesn't understand
    if ((script.errors?.length ?? 0) > 0 || lettersOf(print(script)) !== lettersOf(text)) return false
    return script.commands.every((statement) => this.#node(statement, depth + 1))
  }

  /** Its input is decided as such, where it has any. */
  shell([program = '', ...options]: readonly string[]): boolean {
    if (!readsCommands([program, ...options])) return false
    this.#note(program, options)
    return true
  }

  program(argv: readonly string[], depth: number): boolean {
    return this.#program(argv, depth)
  }

  #substitution(text: string, depth: number): boolean {
    if (text.startsWith('$(')) return this.text(text.slice(2, -1), depth + 1)
    // what stands behind backslashes there is decoded by each shell in its own way
    return text.startsWith('`') && !text.includes('\\') && this.text(text.slice(1, -1), depth + 1)
  }

  #node(node: Node, depth: number): boolean {
    if (depth > maximumDepth) return false
    const all = (nodes: readonly Node[]): boolean => nodes.every((inner) => this.#node(inner, depth + 1))
    switch (node.type) {
      case 'Statement':
        return this.#node(node.command, depth + 1)
      case 'CompoundList':
      case 'AndOr':
        return all(node.commands)
      case 'Pipeline':
        return (
          node.commands.length > 0 &&
          node.prefixes.every(({ type }) => type === 'Negation') &&
          node.operators.every((operator) => operator === '|') &&
          all(node.commands)
        )
      case 'Subshell':
      case 'BraceGroup':
        return all([node.body])
      case 'If':
        return all([
          node.clause,
          node.then,
          ...node.elif.flatMap(({ clause, then }) => [clause, then]),
          ...(node.else ? [node.else] : []),
        ])
      case 'While':
        return all([node.clause, node.body])
      case 'For':
        return (
          isOwnVariable(node.name.value) &&
          (node.wordlist ?? []).every((word) => this.#walk(word, depth)) &&
          all([node.body])
        )
      case 'Redirected':
        return (
          areApart([node.command, ...node.redirects]) &&
          node.redirects.every((each) => this.#redirection(each, depth)) &&
          all([node.command])
        )
      case 'Command':
        return this.#command(node, depth)
      default:
        // functions, arithmetic, tests of Bash alone …
        return false
    }
  }

  #command({ name, prefix, suffix }: Command, depth: number): boolean {
    const words: Word[] = []
    if (!areApart([...prefix, ...(name ? [name] : []), ...suffix])) return false
    for (const each of [...prefix, ...suffix]) {
      if (each.type === 'Word') words.push(each)
      else if (each.type === 'Assignment') {
        if (!this.#assignment(each, depth)) return false
      } else if (!this.#redirection(each, depth)) return false
    }
    if (!name) return prefix.length > 0
    if (![name, ...words].every((word) => this.#walk(word, depth))) return false
    const program = textOf(name)
    return program !== undefined && this.#program([program, ...words.map(textOf)], depth)
  }

  #program([program = '', ...words]: readonly (string | undefined)[], depth: number): boolean {
    const known = allOf(words)
    const text = known && givenText([program, ...known])
    if (program === '' || (text === undefined && !startsItselfAlone(program, words))) return false
    this.#note(program, known)
    return text === undefined || this.text(text, depth + 1)
  }

  #note(program: string, words: readonly string[] | undefined): void {
    this.#programs.push(program, baseName(program))
    this.#arguments = words && this.#arguments && [...this.#arguments, ...words]
  }

  #assignment({ name, value, index }: Assignment, depth: number): boolean {
    return index === undefined && isOwnVariable(name) && value.type === 'Word' && this.#walk(value, depth)
  }

  #redirection(redirection: Redirection, depth: number): boolean {
    if (redirection.type !== 'Redirect' || redirection.descriptor?.type === 'FileDescriptorVariable')
      return false
    const { operator, target } = redirection
    // to shells other than Bash the ampersand ends a command
    if (!target || operator.startsWith('&') || !this.#walk(target, depth)) return false
    const file = textOf(target)
    if (file === undefined) return false
    if (operator === '<&' || operator === '>&') return /^([0-9]|-)$/.test(file)
    if (leadsUp(file)) return false
    if (operator === '<' || operator === '<>') this.#reads.push(file)
    if (operator !== '<') this.#writes.push(file)
    return true
  }

  /** Looks for what is run to make a word. */
  #walk({ parts, text }: Word, depth: number): boolean {
    return parts ? parts.every((part) => this.#part(part, depth)) : isPlain(text)
  }

  #part(part: WordPart, depth: number): boolean {
    switch (part.type) {
      case 'Literal':
        return isPlain(part.text)
      case 'SingleQuoted':
      case 'SimpleExpansion':
        return true
      case 'Glob':
        return part.kind !== 'bracket'
      case 'DoubleQuoted':
        return part.parts.every((inner) =>
          inner.type === 'Literal' ? !/[$`]/.test(inner.text) : this.#part(inner, depth),
        )
      case 'ParameterExpansion':
        return part.prefix === undefined && part.index === undefined && part.operation === undefined
      case 'CommandExpansion':
        return this.#substitution(part.text, depth)
      default:
        // arithmetic runs what is in a variable's index; the others are read otherwise by other shells
        return false
    }
  }
}

/** Outside of quotes: characters that mean nothing to any shell, and those that a backslash stands before. */
function isPlain(text: string): boolean {
  return text === '[' || text === ']' || /^(?:[\w@%+=:,./^~#-]|[^\0-\u00a0]|\\[ -~])*$/u.test(text)
}

/** All of a text but what commands can be laid out by. */
function lettersOf(text: string): string {
  return text.replaceAll(/[\s;]/g, '')
}

/** Which of two a character between them belongs to, shells don't agree on where there is no space. */
function areApart(parts: readonly { readonly pos: number; readonly end: number }[]): boolean {
  return parts.every(({ pos }, index) => pos > (parts[index - 1]?.end ?? -1))
}

/** Those that mean something to a shell or to programs are written in capitals, but for these. */
function isOwnVariable(name: string): boolean {
  return (
    /^[a-z_][a-z0-9_]*$/.test(name) &&
    !/_proxy$|^npm_config_/.test(name) &&
    name !== 'histchars' &&
    name !== 'auto_resume' &&
    name !== '_'
  )
}

/** Where a file is then, its name doesn't say. */
export function leadsUp(path: string): boolean {
  return path.split('/').includes('..')
}

/** @returns undefined where the shell has yet to make one. */
function allOf(words: readonly (string | undefined)[]): readonly string[] | undefined {
  const known = words.filter((word) => word !== undefined)
  return known.length === words.length ? known : undefined
}

/** @returns undefined where the shell makes it of something else, such as files' names. */
function textOf({ parts, value, text }: Word): string | undefined {
  if (text.startsWith('~')) return undefined
  if (!parts) return value
  let made = ''
  for (const part of parts)
    if (part.type === 'Literal' || part.type === 'SingleQuoted') made += part.value
    else if (part.type === 'DoubleQuoted') {
      for (const inner of part.parts) {
        if (inner.type !== 'Literal') return undefined
        made += inner.value
      }
    } else return undefined
  return made
}
