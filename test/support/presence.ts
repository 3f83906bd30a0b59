/** A client that watches presence and checks the server's presence messages. */
import type { Event, PresenceCounts, Present } from '../../src/protocol/events.js';
import type { Received } from './fake-transport.js';

type Told = Extract<Event, { type: 'presence' | 'presence_diff' }>;

export class PresenceView {
  mode: 'none' | 'users' | 'count' | 'off' = 'none';
  rev = -1;
  /** False in the middle of a list, when the list must not be checked. */
  isWhole = false;
  readonly users = new Map<string, Present>();
  counts: PresenceCounts = { users: 0, connections: 0, anonymous: 0 };
  /** Users reported as joined and left, in order. */
  readonly events: string[] = [];
  frames = 0;

  hear(event: Received): void {
    if (event.type === 'presence' || event.type === 'presence_diff') this.#hear(event);
  }

  #hear(event: Told): void {
    this.frames += 1;
    // Until it joins the room again.
    if (this.mode === 'off') throw new Error(`a ${event.type} after it was told to be over`);
    if (event.type === 'presence' && event.mode === 'off') {
      this.mode = 'off';
      this.users.clear();
      return;
    }
    this.counts = event.counts;
    if (event.type === 'presence_diff') {
      if (this.mode !== 'users' || !this.isWhole || event.after !== this.rev) {
        throw new Error(`a diff after ${event.after} for who is at ${this.rev} (${this.mode})`);
      }
      if (event.rev <= event.after) throw new Error(`a diff from ${event.after} to ${event.rev}`);
      const named = [...event.left, ...event.joined.map(({ user }) => user)];
      if (new Set(named).size < named.length) throw new Error(`named twice: ${named}`);
      for (const user of event.left) {
        if (this.users.delete(user)) this.events.push(`-${user}`);
      }
      for (const each of event.joined) {
        if (!this.users.has(each.user)) this.events.push(`+${each.user}`);
        this.users.set(each.user, each);
      }
    } else if (event.mode === 'count') {
      if (event.rev < this.rev) throw new Error(`a count of ${event.rev} behind ${this.rev}`);
      this.users.clear();
      this.isWhole = true;
    } else {
      if (this.mode !== 'users' || this.isWhole || event.rev !== this.rev) this.users.clear();
      for (const each of event.users) this.users.set(each.user, each);
      this.isWhole = event.done;
    }
    this.rev = event.rev;
    this.mode = event.type === 'presence' ? event.mode : 'users';
  }
}
