/** Argo CD's health checks, run by Lua itself as Argo CD does. https://argo-cd.readthedocs.io/en/stable/operator-manual/health/ */
import { LuaFactory } from 'wasmoon'

const factory = new LuaFactory()

/** @throws Error when the script fails. */
export async function argoHealth(
  script: string,
  object: unknown,
): Promise<{ status: string; message: string }> {
  const engine = await factory.createEngine({ enableProxy: false })
  try {
    engine.global.set('obj', object)
    return (await engine.doString(script)) as { status: string; message: string }
  } finally {
    engine.global.close()
  }
}
