/**
 * Tells every member, once a connection, that the broker cannot be reached, and that it can be again.
 * A turn of the loop has `SLICE_MS` of it at most, however many there are.
 */
import type { BrokerState } from '../broker/broker.js';
import { nowMs, setImmediate } from '../time.js';
import type { Member } from './member.js';

/** Milliseconds of a turn of the loop. */
const SLICE_MS = 5;

export class BrokerNotice {
  readonly #members: ReadonlyMap<string, Member>;
  #state: BrokerState = 'up';
  /** Those that have yet to be told; null while nobody has. */
  #untold: Iterator<Member> | null = null;

  constructor(members: ReadonlyMap<string, Member>) {
    this.#members = members;
  }

  changed(state: BrokerState): void {
    this.#state = state;
    if (this.#untold === null) setImmediate(() => this.#tell());
    this.#untold = this.#members.values();
  }

  /** As `member` is to know it. */
  tell(member: Member): void {
    member.tellBroker(this.#state === 'up' ? 'up' : 'suspended');
  }

  #tell(): void {
    const deadline = nowMs() + SLICE_MS;
    for (let next = this.#untold?.next(); next?.done === false; next = this.#untold?.next()) {
      this.tell(next.value);
      if (nowMs() < deadline) continue;
      setImmediate(() => this.#tell());
      return;
    }
    this.#untold = null;
  }
}
