// One second of the tests' takes ten: a busy machine gets done what they give a tenth of a second for.
const { setTimeout } = globalThis
globalThis.setTimeout = (callback, milliseconds = 0, ...words) =>
  setTimeout(callback, milliseconds * 10, ...words)
