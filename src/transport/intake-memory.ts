/**
 * Memory of unhandled input of all connections of a server (V3). If the total exceeds its bound, the
 * largest holder is closed.
 *
 * Not here: the bound of one connection (`intake.ts`).
 */

/** Bound of all connections together, in bytes. */
const TOTAL_BYTES = 128 * 1024 * 1024;

/** A connection that holds some of it. */
export interface Holder {
  /** All together hold too much and this one holds most: it must release everything. */
  relieve(): void;
}

/** Counts the unhandled input of all connections. */
export class IntakeMemory {
  readonly #holders = new Map<Holder, number>();
  readonly #limit: number;
  #bytes = 0;

  constructor(limit: number = TOTAL_BYTES) {
    this.#limit = limit;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Sets the bytes `holder` holds; relieves the largest holders while the total is too large. */
  set(holder: Holder, bytes: number): void {
    this.#bytes += bytes - (this.#holders.get(holder) ?? 0);
    // The entry stays when it holds 0 bytes: a connection that held input will do so again (`line.ts`).
    this.#holders.set(holder, bytes);
    while (this.#bytes > this.#limit) this.#largest()?.relieve();
  }

  /** Removes a closed connection. */
  delete(holder: Holder): void {
    this.#bytes -= this.#holders.get(holder) ?? 0;
    this.#holders.delete(holder);
  }

  #largest(): Holder | undefined {
    let most = 0;
    let largest: Holder | undefined;
    for (const [holder, bytes] of this.#holders) {
      if (bytes <= most) continue;
      most = bytes;
      largest = holder;
    }
    return largest;
  }
}
