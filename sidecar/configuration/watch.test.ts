import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { watchDirectory } from './watch.ts'

describe('A watched directory', function () {
  this.timeout(60_000)
  let home: string
  let path: string

  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), 'firebreak-watch-'))
    path = join(home, 'manifests')
    mkdirSync(path)
  })
  afterEach(() => rmSync(home, { recursive: true }))

  /** @returns a function that waits for the next change. */
  function watching(): Disposable & { next(): Promise<void> } {
    let count = 0
    let heard = 0
    const watch = watchDirectory(path, () => {
      count++
    })
    return {
      async next() {
        heard++
        while (count < heard) await new Promise((resolve) => setTimeout(resolve, 20))
        heard = count
      },
      [Symbol.dispose]: () => watch[Symbol.dispose](),
    }
  }

  it('tells of files that are written and taken away', async () => {
    using changes = watching()
    writeFileSync(join(path, 'a.yaml'), '')
    await changes.next()
    rmSync(join(path, 'a.yaml'))
    await changes.next()
  })

  it('tells when it is moved away, when another takes its place, and of what is written there', async () => {
    using changes = watching()
    renameSync(path, join(home, 'old'))
    await changes.next()
    mkdirSync(path)
    await changes.next()
    writeFileSync(join(path, 'a.yaml'), '')
    await changes.next()
  })

  it('tells when the link to it leads elsewhere', async () => {
    const releases = ['one', 'two'].map((name) => join(home, name))
    for (const release of releases) mkdirSync(release)
    rmSync(path, { recursive: true })
    symlinkSync(releases[0] ?? '', path)
    using changes = watching()
    symlinkSync(releases[1] ?? '', `${path}-new`)
    renameSync(`${path}-new`, path)
    await changes.next()
    writeFileSync(join(releases[1] ?? '', 'a.yaml'), '')
    await changes.next()
  })
})
