/** Wakes up all waiters at the next change. V8: each wait ends with its signal. */
export class Changes {
  readonly #waiting = new Set<() => void>();

  /** Resolves at the next `happened`, or when the signal aborts. */
  next(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        this.#waiting.delete(done);
        signal?.removeEventListener('abort', done);
        resolve();
      };
      this.#waiting.add(done);
      signal?.addEventListener('abort', done, { once: true });
    });
  }

  happened(): void {
    for (const done of this.#waiting) done();
  }
}
