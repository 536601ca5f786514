// One second of the tests' takes many: a busy machine gets done what they give a tenth of a second for.
const times = Number(process.env.PATIENCE)
const { setTimeout } = globalThis
globalThis.setTimeout = (callback, milliseconds = 0, ...words) =>
  setTimeout(callback, milliseconds * times, ...words)
