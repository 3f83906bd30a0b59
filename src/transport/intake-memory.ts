/**
 * What all connections of a server have sent and not said whole, or not had handled (V3): counted for
 * all together, and bounded at the expense of whoever holds most.
 *
 * Not here: what one connection may hold (`intake.ts`).
 */

/** Of all connections together, in bytes. */
const TOTAL_BYTES = 128 * 1024 * 1024;

/** Who holds some of it. */
export interface Holder {
  /** All together hold too much, and this one most: it has to let go of everything. */
  relieve(): void;
}

/** What all connections hold before it is a command. */
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

  /** Says that `holder` holds `bytes`; where that is too much in all, whoever holds most has to go. */
  set(holder: Holder, bytes: number): void {
    this.#bytes += bytes - (this.#holders.get(holder) ?? 0);
    // Its place stays when it holds nothing: whoever has held something will again (`line.ts`).
    this.#holders.set(holder, bytes);
    while (this.#bytes > this.#limit) this.#largest()?.relieve();
  }

  /** It is gone. */
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
