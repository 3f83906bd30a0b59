/** Members that join, stall, leave and return with their positions for the length of a round. */
import { setTimeout as sleep } from 'node:timers/promises';
import { LoggingMember } from '../support/logging-member.js';
import type { Cluster } from './cluster.js';
import type { Random } from './random.js';

/** Half of them never stall or leave by themselves. */
const MEMBERS = 8;
const ROOMS_EACH = 3;

export class Crowd {
  readonly members: readonly Attendee[];
  readonly #cluster: Cluster;
  readonly #random: Random;
  #isOver = false;

  constructor(cluster: Cluster, rooms: readonly string[], random: Random) {
    this.#cluster = cluster;
    this.#random = random;
    this.members = Array.from({ length: MEMBERS }, (_, n) => {
      const own = Array.from({ length: ROOMS_EACH }, (_, i) => rooms[(n + i) % rooms.length] ?? '');
      const url = cluster.urls[n % cluster.urls.length] as string;
      return new Attendee(new LoggingMember(url, `m${n}`, own), url, n % 2 === 1);
    });
  }

  /** Connects all members; resolves once all are in their rooms. */
  async come(): Promise<void> {
    await Promise.all(this.members.map((each) => this.#present(each)));
  }

  /** Runs until `end`; members that get disconnected return. */
  async run(): Promise<void> {
    await Promise.all(this.members.map((each) => this.#live(each)));
  }

  /** Resolves once all members are back and reading. */
  async end(): Promise<void> {
    this.#isOver = true;
    for (const { member } of this.members) member.resume();
    await Promise.all(this.members.map((each) => this.#present(each)));
  }

  close(): void {
    for (const { member } of this.members) member.close();
  }

  async #live(each: Attendee): Promise<void> {
    const { member, isRestless } = each;
    while (!this.#isOver) {
      await sleep(this.#random.between(50, 400));
      if (member.isClosed) this.#comeBack(each);
      if (!isRestless || this.#isOver) continue;
      const what = this.#random.next();
      if (what < 0.05) {
        member.stall();
        await sleep(this.#random.between(200, 3000));
        member.resume();
      } else if (what < 0.1) member.close();
    }
  }

  #comeBack(each: Attendee): void {
    each.hasBeenAway = true;
    each.member.comeBack(this.#random.pick(this.#cluster.urls));
  }

  /** Resolves once the member is in all its rooms. */
  async #present(each: Attendee): Promise<void> {
    for (;;) {
      if (each.member.isClosed) this.#comeBack(each);
      await each.member.joined();
      if (!each.member.isClosed) return;
      await sleep(100);
    }
  }
}

class Attendee {
  hasBeenAway = false;

  constructor(
    readonly member: LoggingMember,
    /** Its first address. */
    readonly url: string,
    readonly isRestless: boolean,
  ) {}
}
