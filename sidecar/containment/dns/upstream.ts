/** Asks the cluster's resolvers, and nobody else. */
import { randomInt } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { connect, isIPv6 } from 'node:net'
import type { Question } from 'dns-packet'
import { MessageReader, withLength } from './framing.ts'
import { type ReadAnswer, readAnswer, writeQuestion } from './packets.ts'

export type ResolvedAnswer = Extract<ReadAnswer, { kind: 'answer' }>

/** For each try, in milliseconds. */
const tryFor = 2_000

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

/** From a port of its own that the system draws, with an id that can't be guessed: nobody else's answer fits. */
function askByUdp(question: Question, server: string, port: number): Promise<ReadAnswer | undefined> {
  const id = randomInt(0x1_0000)
  const socket = createSocket(isIPv6(server) ? 'udp6' : 'udp4')
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
