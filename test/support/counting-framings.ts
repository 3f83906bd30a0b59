/** Framings of fake transports that count how often each message is encoded (V6). */
import type { Framing } from '../../src/transport/transport.js';
import { type FakeName, FRAMINGS } from './fake-transport.js';

export class CountingFramings {
  readonly #framings = new Map<FakeName, Framing>();
  /** By encoding and text. */
  readonly #encoded = new Map<string, number>();

  get(name: FakeName): Framing {
    const made = this.#framings.get(name);
    if (made !== undefined) return made;
    const { index, encoding, join } = FRAMINGS[name];
    const encode = (text: string): Buffer => {
      if (text.startsWith('{"type":"message"')) {
        const key = `${encoding.index} ${text}`;
        this.#encoded.set(key, (this.#encoded.get(key) ?? 0) + 1);
      }
      return encoding.encode(text);
    };
    const framing = { index, encoding: { index: encoding.index, encode }, join };
    this.#framings.set(name, framing);
    return framing;
  }

  /** Checks that each text was encoded once per encoding, plus up to `again(text)` times. */
  check(again: (text: string) => number): void {
    for (const [key, times] of this.#encoded) {
      if (times === 1) continue;
      const text = key.slice(key.indexOf(' ') + 1);
      if (times > 1 + again(text))
        throw new Error(`V6: encoded ${times} times: ${text.slice(0, 100)}`);
    }
  }
}
