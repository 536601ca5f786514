/** Tests of the whole product share one installation, which is there from the first of them to the last. */
import { describeOnCluster } from '../suite.ts'
import { Product } from './product.ts'

let shared: Promise<Product> | undefined

/** A describe() whose tests run on a cluster on which the product is installed; where there can be none, there are no such tests. */
export function describeWithProduct(title: string, define: (product: () => Product) => void): void {
  describeOnCluster(title, (cluster) => {
    let product: Product | undefined

    before(async function () {
      this.timeout('60m')
      shared ??= Product.install(cluster())
      product = await shared
    })

    define(() => {
      if (product === undefined) throw new Error('The product is there in hooks and tests')
      return product
    })
  })
}

/** For tests of its removal; the next suite installs it again. */
export async function endSharedProduct(): Promise<void> {
  const ending = shared
  shared = undefined
  await (await ending?.catch(() => undefined))?.[Symbol.asyncDispose]()
}

// mocha's root suite: after all files
after(async function () {
  this.timeout('10m')
  await endSharedProduct()
})
