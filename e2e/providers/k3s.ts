/** k3s in a container, where a Docker engine and a registry are at hand. k3s enforces NetworkPolicies itself. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { K3sContainer } from '@testcontainers/k3s'
import { standardImages, writeImages } from '../cluster/images/standard.ts'
import { findNodePrograms } from '../cluster/node/programs.ts'
import { buildProgram } from '../cluster/program/build.ts'
import { clusterOfKubeconfig } from './existing.ts'
import type { ClusterProvider } from './provider.ts'

const image = 'rancher/k3s:v1.34.1-k3s1'

export const k3s: ClusterProvider = {
  async provide(progress) {
    progress(`Starting ${image} …`)
    const container = await new K3sContainer(image).start().catch((cause: Error) => {
      throw new Error(`${image} can't be started: ${cause.message}`, { cause })
    })
    const directory = mkdtempSync(join(tmpdir(), 'firebreak-k3s-'))
    const stop = async (): Promise<void> => {
      await container.stop()
      rmSync(directory, { recursive: true, force: true })
    }
    const loadImage = async (archive: string): Promise<void> => {
      const target = `/tmp/${basename(archive)}`
      await container.copyFilesToContainer([{ source: archive, target }])
      const { exitCode, output } = await container.exec([
        'ctr',
        '--namespace',
        'k8s.io',
        'images',
        'import',
        target,
      ])
      if (exitCode !== 0) throw new Error(`k3s can't import ${archive}: ${output}`)
    }
    try {
      const path = join(directory, 'kubeconfig')
      writeFileSync(path, container.getKubeConfig(), { mode: 0o600 })
      const cluster = await clusterOfKubeconfig(path, progress, { loadImage, dispose: stop })
      const programs = await findNodePrograms(progress)
      const images = await standardImages(await buildProgram(progress), programs, progress)
      for (const archive of await writeImages(images, directory)) await loadImage(archive)
      return cluster
    } catch (error) {
      await stop()
      throw error
    }
  },
}
