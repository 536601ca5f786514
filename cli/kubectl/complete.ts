#!/usr/bin/env node
/** `kubectl_complete-firebreak`: kubectl asks it what may stand after `kubectl firebreak`. https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/ */
import { pluginCommands } from './commands.ts'
import { suggestions } from './suggest.ts'

const [words, directive] = await suggestions(pluginCommands, process.argv.slice(2))
for (const word of words) console.log(word)
console.log(`:${directive}`)
