/** Flux's own definition of a Kustomization, from its Go module. */
import { execFile } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { findGo } from '../cluster/program/toolchain.ts'
import { toStandardError } from '../cluster/progress.ts'

const run = promisify(execFile)

const module = 'github.com/fluxcd/kustomize-controller@v1.7.3'
/** As Go's checksum database has it. */
const sum = 'h1:SzNnGn/4ObAPEHHleM5U7y/AKxKXph3Vj6ZhteeXw8M='

/** @returns the path of the CRD. Go keeps what it fetched. */
export async function fluxKustomizationCrd(): Promise<string> {
  const go = await findGo(toStandardError)
  const { stdout } = await run(go, ['mod', 'download', '-json', module], { cwd: tmpdir() })
  const fetched = JSON.parse(stdout) as { Dir: string; Sum: string }
  if (fetched.Sum !== sum) throw new Error(`${module} is not what it was`)
  return join(fetched.Dir, 'config/crd/bases/kustomize.toolkit.fluxcd.io_kustomizations.yaml')
}
