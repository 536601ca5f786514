#!/usr/bin/env node
/** `kubectl firebreak`: kubectl runs whatever is called kubectl-firebreak. Its commands are about a cluster, as kubectl's are. */
import { runProgram } from '../program.ts'
import { pluginCommands, program } from './commands.ts'

await runProgram(program, pluginCommands)
