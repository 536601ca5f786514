import { type CliCommand, UsageError } from './command.ts'

/** Makes the command that prints completion scripts for the others. */
export function completion(commands: readonly CliCommand[]): CliCommand {
  const names = [...commands.map((command) => command.name), 'completion', 'help'].join(' ')
  const options = commands.map((command) => ({
    name: command.name,
    words: command.options.map((option) => `--${option}`).join(' '),
  }))
  const scripts: Readonly<Record<string, string>> = {
    bash: `_firebreak() {
  local current=\${COMP_WORDS[COMP_CWORD]}
  if [ "$COMP_CWORD" -eq 1 ]; then COMPREPLY=($(compgen -W "${names}" -- "$current")); return; fi
  case \${COMP_WORDS[1]} in
${options.map(({ name, words }) => `    ${name}) COMPREPLY=($(compgen -W "${words} --help" -f -- "$current"));;`).join('\n')}
    completion) COMPREPLY=($(compgen -W "bash zsh fish" -- "$current"));;
  esac
}
complete -F _firebreak firebreak`,
    zsh: `#compdef firebreak
_firebreak() {
  if (( CURRENT == 2 )); then compadd ${names}; return; fi
  case $words[2] in
${options.map(({ name, words }) => `    ${name}) compadd -- ${words} --help; _files;;`).join('\n')}
    completion) compadd bash zsh fish;;
  esac
}
compdef _firebreak firebreak`,
    fish: [
      ...names.split(' ').map((name) => `complete -c firebreak -n __fish_use_subcommand -a ${name}`),
      ...commands.flatMap((command) =>
        command.options.map(
          (option) => `complete -c firebreak -n "__fish_seen_subcommand_from ${command.name}" -l ${option}`,
        ),
      ),
    ].join('\n'),
  }
  return {
    name: 'completion',
    summary: 'print a completion script for bash, zsh or fish',
    options: [],
    help: `Prints a completion script.

Usage: firebreak completion bash|zsh|fish

For bash: source <(firebreak completion bash)`,
    async run([shell = '']) {
      const script = scripts[shell]
      if (script === undefined) throw new UsageError('completion takes one of bash, zsh and fish')
      console.log(script)
      return 0
    },
  }
}
