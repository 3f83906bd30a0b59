/**
 * Tells every connected member, once a change, that the broker cannot be reached or can be reached
 * again. Takes at most `SLICE_MS` of a turn of the event loop, however many members there are.
 */
import type { BrokerState } from '../broker/broker.js';
import { nowMs, setImmediate } from '../time.js';
import type { Member } from './member.js';

/** Maximum milliseconds per event loop turn. */
const SLICE_MS = 5;

export class BrokerNotice {
  readonly #members: ReadonlyMap<string, Member>;
  #state: BrokerState = 'up';
  /** Members still to be told; null while none are. */
  #untold: Iterator<Member> | null = null;

  constructor(members: ReadonlyMap<string, Member>) {
    this.#members = members;
  }

  changed(state: BrokerState): void {
    this.#state = state;
    if (this.#untold === null) setImmediate(() => this.#tell());
    this.#untold = this.#members.values();
  }

  /** Sends the current state to one member. */
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
