/** Where steps that take long say what they do. */
export type Progress = (line: string) => void

export const toStandardError: Progress = (line) => void process.stderr.write(`${line}\n`)
