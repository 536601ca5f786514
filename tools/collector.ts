/** A real OpenTelemetry collector for tests: compiled once from the Go module proxy's sources, then kept. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { compileOnce } from './go-program.ts'
import { freePort } from './postgres.ts'

const sources = fileURLToPath(new URL('collector', import.meta.url))

/** Takes OTLP over HTTP, and passes it on as JSON to another address. */
export class Collector implements AsyncDisposable {
  readonly url: string
  readonly #child: ChildProcess
  readonly #directory: string

  /** @param to where it passes logs and traces on to, with the path. */
  static async start(to: string): Promise<Collector> {
    const program = await compileOnce({
      sources,
      main: '.',
      name: 'otelcol',
      what: 'an OpenTelemetry collector',
    })
    const directory = mkdtempSync(join(tmpdir(), 'firebreak-collector-'))
    const port = await freePort()
    const configuration = join(directory, 'collector.json')
    writeFileSync(configuration, JSON.stringify(configurationFor(port, to)))
    const child = spawn(program, ['--config', `file:${configuration}`], {
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    const collector = new Collector(child, `http://127.0.0.1:${port}`, directory)
    let log = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => (log = (log + text).slice(-4_000)))
    for (let turn = 0; !(await accepts(port)); turn++) {
      if (turn > 2_400 || child.exitCode !== null) {
        await collector[Symbol.asyncDispose]()
        throw new Error(`the collector did not start: ${log}`)
      }
      await delay(50)
    }
    return collector
  }

  private constructor(child: ChildProcess, url: string, directory: string) {
    this.#child = child
    this.url = url
    this.#directory = directory
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null) {
      const exited = new Promise((resolve) => this.#child.once('exit', resolve))
      this.#child.kill('SIGKILL')
      await exited
    }
    rmSync(this.#directory, { recursive: true, force: true })
  }
}

function configurationFor(port: number, to: string): unknown {
  return {
    receivers: { otlp: { protocols: { http: { endpoint: `127.0.0.1:${port}` } } } },
    exporters: {
      otlp_http: { logs_endpoint: to, traces_endpoint: to, encoding: 'json', compression: 'none' },
    },
    service: {
      telemetry: { metrics: { level: 'none' } },
      pipelines: {
        logs: { receivers: ['otlp'], exporters: ['otlp_http'] },
        traces: { receivers: ['otlp'], exporters: ['otlp_http'] },
      },
    },
  }
}

/** Whether somebody listens there. */
export function accepts(port: number, host = '127.0.0.1'): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, host, () => {
      socket.destroy()
      resolve(true)
    }).on('error', () => resolve(false))
  })
}
