/** Asks the cluster's resolvers, and nobody else. */
import { randomInt } from 'node:crypto'
import { createSocket, type Socket, type SocketType } from 'node:dgram'
import { once } from 'node:events'
import { connect, isIPv6 } from 'node:net'
import type { Question } from 'dns-packet'
import { MessageReader, withLength } from './framing.ts'
import { type ReadAnswer, readAnswer, writeQuestion } from './packets.ts'

export type ResolvedAnswer = Extract<ReadAnswer, { kind: 'answer' }>

/** For each try, in milliseconds. */
const tryFor = 2_000
/**
 * Where questions come from: below the ports that systems give to their processes. The kernel remembers the way of a question by
 * its ports for half a minute, and an agent's question from the same port would be sent the same way, and be refused there.
 */
const sourcePorts = { from: 10_000, below: 32_000 }
const bindAttempts = 8

/** @param servers their addresses. @returns undefined when none of them answers. */
export async function ask(
  question: Question,
  servers: readonly string[],
  port: number,
): Promise<ResolvedAnswer | undefined> {
  for (const server of [...servers, ...servers]) {
    const answer = await attempt(question, server, port)
    if (answer) return answer
  }
  return undefined
}

async function attempt(
  question: Question,
  server: string,
  port: number,
): Promise<ResolvedAnswer | undefined> {
  const byUdp = await askByUdp(question, server, port)
  if (byUdp?.kind === 'answer') return byUdp
  return byUdp?.kind === 'truncated' ? await askByTcp(question, server, port) : undefined
}

/** From a port and with an id that can't be guessed: nobody else's answer fits. */
async function askByUdp(question: Question, server: string, port: number): Promise<ReadAnswer | undefined> {
  const id = randomInt(0x1_0000)
  const socket = await boundSocket(isIPv6(server) ? 'udp6' : 'udp4')
  if (!socket) return undefined
  return new Promise((resolve) => {
    const end = (answer?: ReadAnswer): void => {
      clearTimeout(timer)
      socket.removeAllListeners('message')
      resolve(answer)
      socket.close()
    }
    const timer = setTimeout(end, tryFor)
    socket.on('error', () => end())
    socket.on('message', (bytes) => {
      const answer = readAnswer(bytes, id, question)
      if (answer.kind !== 'other') end(answer)
    })
    // connected: datagrams of others are not even read
    socket.once('connect', () => socket.send(writeQuestion(id, question)))
    socket.connect(port, server)
  })
}

/** @returns undefined when every port that was tried is somebody's. */
async function boundSocket(family: SocketType): Promise<Socket | undefined> {
  for (let attempt = 0; attempt < bindAttempts; attempt++) {
    const socket = createSocket(family)
    try {
      socket.bind(randomInt(sourcePorts.from, sourcePorts.below))
      await once(socket, 'listening')
      return socket
    } catch {
      socket.close()
    }
  }
  return undefined
}

function askByTcp(question: Question, server: string, port: number): Promise<ResolvedAnswer | undefined> {
  const id = randomInt(0x1_0000)
  const reader = new MessageReader()
  const socket = connect(port, server)
  return new Promise((resolve) => {
    const end = (answer?: ResolvedAnswer): void => {
      clearTimeout(timer)
      resolve(answer)
      socket.destroy()
    }
    const timer = setTimeout(end, tryFor)
    socket.on('error', () => end()).on('close', () => end())
    socket.on('data', (chunk) => {
      for (const message of reader.push(chunk)) {
        const answer = readAnswer(message, id, question)
        if (answer.kind === 'answer') end(answer)
      }
    })
    socket.write(withLength(writeQuestion(id, question)))
  })
}
