/** Something that one waits for and others bring about; what happens while nobody waits is not lost. */
export class Wake {
  #woken = false
  #resume: (() => void) | undefined

  readonly call = (): void => {
    this.#woken = true
    this.#resume?.()
  }

  async wait(): Promise<void> {
    if (!this.#woken)
      await new Promise<void>((resolve) => {
        this.#resume = resolve
      })
    this.#woken = false
    this.#resume = undefined
  }
}
