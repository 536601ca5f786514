/** Programs by name, as far as they are known for what they run. */

/** Shells whose language is that of POSIX, or near enough. */
const shells = new Set(['sh', 'bash', 'dash', 'ash'])

export function baseName(program: string): string {
  return program.slice(program.lastIndexOf('/') + 1)
}

/** A shell where systems have it; whatever else is called `sh` is a program like others. */
export function isShell(program: string): boolean {
  return /^(\/(usr\/(local\/)?)?bin\/)?[a-z]+$/.test(program) && shells.has(baseName(program))
}

/** Whether a shell reads what it is to do from its input. */
export function readsCommands([program = '', ...options]: readonly string[]): boolean {
  const plain = new Set(['-i', '-l', '-s', '-il', '-li', '--login', '--norc', '--noprofile'])
  return isShell(program) && options.every((option) => plain.has(option))
}

/** Whether a shell is told to be one that somebody types to. */
export function isInteractive([, ...options]: readonly string[]): boolean {
  return options.some((option) => /^-[a-z]*i/.test(option))
}

/** @returns what a shell was told to run, as in `sh -c TEXT`; behind `-c` may be more options, which the text is none of. */
export function givenText([program = '', option = '', text]: readonly string[]): string | undefined {
  return isShell(program) && /^-[elux]*c$/.test(option) && !/^[-+]/.test(text ?? '') ? text : undefined
}

/** Builtins that give words, names or lines another meaning from then on, or run text. */
const changesMeaning = new Set([
  ...['.', 'alias', 'bind', 'builtin', 'command', 'compgen', 'complete', 'compopt', 'coproc', 'declare'],
  ...['enable', 'eval', 'exec', 'export', 'fc', 'getopts', 'hash', 'history', 'let', 'local', 'mapfile'],
  ...['read', 'readarray', 'readonly', 'set', 'shopt', 'source', 'trap', 'typeset', 'unalias', 'unset'],
])

/** What they run stands in their arguments, or comes from elsewhere. */
const runsOthers = new Set([
  ...['busybox', 'chroot', 'chrt', 'doas', 'dumb-init', 'env', 'find', 'flock', 'gosu', 'ionice', 'nice'],
  ...[
    'nohup',
    'nsenter',
    'parallel',
    'runuser',
    'script',
    'setpriv',
    'setsid',
    'start-stop-daemon',
    'stdbuf',
  ],
  ...['strace', 'su', 'su-exec', 'sudo', 'taskset', 'time', 'timeout', 'tini', 'toybox', 'unshare', 'watch'],
  ...['xargs', 'csh', 'fish', 'ksh', 'mksh', 'tcsh', 'zsh', 'ssh'],
])

/** Builtins that run or change something by one option alone. */
const byOption: Readonly<Record<string, RegExp>> = {
  '[': /^-[vR]/,
  test: /^-[vR]/,
  printf: /^-v/,
  wait: /^-.*p/,
  jobs: /^-.*x/,
}

/**
 * Whether it is known what a program starts: itself alone.
 *
 * @param words after it; undefined for one that the shell has yet to make.
 */
export function startsItselfAlone(program: string, words: readonly (string | undefined)[]): boolean {
  const name = baseName(program)
  if (changesMeaning.has(name) || runsOthers.has(name)) return false
  const option = Object.hasOwn(byOption, name) ? byOption[name] : undefined
  if (option) return words.every((word) => word !== undefined && !option.test(word))
  // what a shell runs is a script, or its input, of which nothing is known
  return !shells.has(name)
}
