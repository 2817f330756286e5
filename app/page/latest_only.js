/** Of questions that come faster than answers, one is on its way and the latest waits. */
export class LatestOnly {
  #running = false
  /** @type {any} */
  #waiting = null
  #age = 0

  /**
   * Asks, unless something later is asked before its turn comes.
   *
   * @template T
   * @param {() => Promise<T>} question
   * @param {(answer: T) => void} show not called with an answer that is stale
   * @param {(error: Error) => void} fail
   */
  ask(question, show, fail = () => {}) {
    this.#waiting = { question, show, fail, age: this.#age }
    if (!this.#running) this.#run()
  }

  /** Makes every answer stale that is still to come. */
  forget() {
    this.#age += 1
    this.#waiting = null
  }

  async #run() {
    this.#running = true
    while (this.#waiting) {
      const { question, show, fail, age } = this.#waiting
      this.#waiting = null
      try {
        const answer = await question()
        if (age === this.#age) show(answer)
      } catch (error) {
        if (age === this.#age) fail(error)
      }
    }
    this.#running = false
  }
}
