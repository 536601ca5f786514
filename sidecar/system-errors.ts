import { getSystemErrorMessage } from 'node:util'

/** What the operating system refuses, in words. */
const words: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file or directory',
  ENOTDIR: 'this is a file, not a directory',
  EISDIR: 'this is a directory',
  EACCES: 'this user may not do that',
  EPERM: 'this user may not do that',
  EROFS: 'the file system is read-only',
  ENOSPC: 'the disk is full',
  EADDRINUSE: 'another program listens there',
  EADDRNOTAVAIL: 'this machine has no such address',
  ENOTFOUND: 'there is no such host',
}

/** @returns why a call of the operating system failed, for somebody who can put it right. */
export function inWords(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { code = '', path, errno } = error as NodeJS.ErrnoException
  // of a file Node's own message is about its call
  const message = path !== undefined && errno !== undefined ? getSystemErrorMessage(errno) : error.message
  return words[code] ?? message
}
