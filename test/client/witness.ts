/**
 * Checks the events of a room: from join to leave, each number is delivered or in a gap, once and in
 * order, and each message is the one published under its number.
 */
import type { Message, Room, RoomEvent } from '../../client/src/index.js';

export class Witness {
  /** Violations, in the order in which they were found. */
  readonly faults: string[] = [];
  messages = 0;
  missing = 0;
  resets = 0;
  readonly #room: Room<unknown>;
  readonly #isOf: (message: Message<unknown>, epoch: string) => boolean;
  /** The next expected number; undefined outside the room. */
  #due: number | undefined;

  constructor(room: Room<unknown>, isOf: (message: Message<unknown>, epoch: string) => boolean) {
    this.#room = room;
    this.#isOf = isOf;
    for (const type of ['message', 'gap', 'joined'] as const) {
      room.on(type, (event) => this.#told(event));
    }
    room.on('left', () => {
      this.#due = undefined;
    });
  }

  /** Position of the last number delivered or reported. */
  get last(): number | undefined {
    return this.#due === undefined ? undefined : this.#due - 1;
  }

  #told(event: RoomEvent<unknown>): void {
    const { position } = this.#room;
    const due = this.#due;
    if (event.type === 'joined') {
      if (event.recovery === 'first') this.#due = event.seq + 1;
      else if (due === undefined) this.#wrong('a second join without a first', event);
      return;
    }
    if (due === undefined) {
      this.#wrong('told outside of the room', event);
      return;
    }
    if (event.type === 'message') {
      this.messages += 1;
      if (event.seq !== due) this.#wrong(`${due} was due`, event);
      if (!this.#isOf(event, position!.epoch)) this.#wrong('another message', event);
      this.#due = event.seq + 1;
    } else if (event.from === null || event.to === null) {
      this.resets += 1;
      this.#due = position!.seq + 1;
    } else {
      if (event.from !== due) this.#wrong(`${due} was due`, event);
      if (event.count !== event.to - event.from + 1) this.#wrong('a wrong count', event);
      this.missing += event.count ?? 0;
      this.#due = event.to + 1;
    }
    if (position!.seq !== this.#due - 1) this.#wrong(`position ${position!.seq}`, event);
  }

  #wrong(what: string, event: RoomEvent<unknown>): void {
    this.faults.push(`${what}: ${JSON.stringify(event)}`);
  }
}

/** The same for an iterator, which may report additional losses. Returns the violations. */
export async function witnessed(
  events: AsyncIterable<RoomEvent<unknown>>,
  pause: () => Promise<void>,
): Promise<string[]> {
  const faults: string[] = [];
  let due: number | undefined;
  for await (const event of events) {
    if (event.type === 'joined') {
      if (event.recovery === 'first') due = event.seq + 1;
    } else if (event.type === 'gap') {
      const from = event.from ?? due;
      if (due !== undefined && from !== due)
        faults.push(`${due} was due: ${JSON.stringify(event)}`);
      due = event.to === null ? undefined : event.to + 1;
    } else {
      if (due !== undefined && event.seq !== due) faults.push(`${due} was due: ${event.seq}`);
      due = event.seq + 1;
    }
    await pause();
  }
  return faults;
}
