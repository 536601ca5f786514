import assert from 'node:assert/strict'
import { k3s } from './k3s.ts'

describe('k3s in a container', () => {
  let host: string | undefined

  before(() => {
    host = process.env.DOCKER_HOST
    process.env.DOCKER_HOST = 'tcp://127.0.0.1:9'
  })

  after(() => {
    if (host === undefined) delete process.env.DOCKER_HOST
    else process.env.DOCKER_HOST = host
  })

  it('says so when there is no container engine', async () => {
    await assert.rejects(
      k3s.provide(() => {}),
      /rancher\/k3s:\S+ can't be started: Could not find a working container runtime/,
    )
  })
})
