/**
 * One member of the load: connects, reads, and is slow in its cohort's way while the disturbance lasts.
 * Owns every timer of the member. Not here: the messages it receives (session.ts).
 */
import { randomOf } from './assign.js';
import type { Cohort, CohortKind } from './cohort.js';
import type { Crew } from './crew.js';
import { count } from './measure/tally.js';
import { Session } from './session.js';

const READ_SIZE = 64 * 1024;
/** Read size of throttled members, which read a number of bytes at a time. */
const THROTTLED_READ_SIZE = 2048;
const THROTTLE_TICK_MS = 50;
/** A member that the server disconnected reconnects after this. */
const COME_BACK_MS = 200;
/** A member that is not in all its rooms by then has failed to join. */
const JOIN_TIMEOUT_MS = 10_000;

export class Member {
  session: Session | undefined;
  readonly cohort: Cohort;
  readonly #crew: Crew;
  readonly #number: number;
  readonly #cohortIndex: number;
  readonly #random: () => number;
  readonly #timers = new Set<NodeJS.Timeout>();
  #joinTimer: NodeJS.Timeout | undefined;
  /** True while the member is slow in its cohort's way. */
  #disturbed = false;

  /** @param cohortIndex into the plan's cohorts */
  constructor(crew: Crew, number: number, cohortIndex: number) {
    this.#crew = crew;
    this.#number = number;
    this.#cohortIndex = cohortIndex;
    this.cohort = crew.plan.cohorts[cohortIndex]!;
    this.#random = randomOf(crew.plan.seed * 1_000_003 + number);
  }

  /** @param settled called once: the member is in all its rooms, or has failed */
  connect(settled: () => void = () => {}): void {
    const via = this.#crew.via[this.#cohortIndex];
    const readSize = this.cohort.kind === 'throttled' ? THROTTLED_READ_SIZE : READ_SIZE;
    const finish = (): void => {
      clearTimeout(this.#joinTimer);
      settled();
    };
    const closed = (): void => {
      finish();
      this.#comeBackIfEvicted();
    };
    const before = this.session;
    if (before && !before.isClosed) this.#crew.abandoned.add(before.link);
    const session = new Session(
      this.#crew,
      this.#number,
      this.#cohortIndex,
      this.cohort.since ? before : undefined,
      { readSize, ...(via ? { via } : {}) },
      finish,
      closed,
    );
    this.session = session;
    this.#awaitJoin(session, settled);
  }

  /** True while it waits to be in all its rooms: neither joined, nor refused, nor given up. */
  get isJoining(): boolean {
    const { session } = this;
    return session !== undefined && !session.ended && !session.present && !this.#away;
  }

  /** Counts its join as failed and stops waiting for it. */
  giveUp(reason: string): void {
    clearTimeout(this.#joinTimer);
    this.session?.end('reset');
    count(this.#crew.tallies[this.#cohortIndex]!.counters.failures, reason);
  }

  #awaitJoin(session: Session, settled: () => void = () => {}): void {
    clearTimeout(this.#joinTimer);
    this.#joinTimer = setTimeout(() => {
      if (session.present) return;
      this.giveUp('not joined within 10 s');
      settled();
    }, JOIN_TIMEOUT_MS);
  }

  /** The disturbance begins: the member turns slow. */
  disturb(): void {
    this.#disturbed = true;
    BEHAVIOUR[this.cohort.kind](this, this.cohort);
  }

  /** The disturbance is over: the member reads normally, and returns if it had left on its own. */
  behave(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    this.#disturbed = false;
    if (this.#away !== undefined) this.comeBack();
    else if (this.session?.ended) this.#comeBackIfEvicted();
    else this.session?.reading.start();
  }

  /** Reconnects a member that the server disconnected for being slow, so that the next turn has it. */
  #comeBackIfEvicted(): void {
    if (this.cohort.kind === 'healthy' || this.#disturbed) return;
    if (this.#crew.stage === 'publishing') this.later(COME_BACK_MS, () => this.connect());
  }

  close(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    clearTimeout(this.#joinTimer);
    this.session?.end('close');
  }

  // ── Used by behaviours ──

  /** How it left on its own, if it did. */
  #away: 'left' | 'disconnected' | undefined;

  later(ms: number, act: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      act();
    }, ms);
    this.#timers.add(timer);
  }

  /** A random time between 0.5 and 1.5 × `mean`, the same in every run with the same seed. */
  around(mean: number): number {
    return mean * (0.5 + this.#random());
  }

  vanish(how: Cohort['how']): void {
    this.#away = 'disconnected';
    if (how === 'reset') this.session?.end('reset');
    else this.session?.abandon();
  }

  leave(): void {
    const { session } = this;
    const left = session !== undefined && !session.ended && session.leaveRooms();
    this.#away = left ? 'left' : 'disconnected';
    if (!left) session?.end('close');
  }

  /** Returns after `vanish` or `leave`: rejoins, or reconnects if the connection has ended. */
  comeBack(): void {
    const { session } = this;
    const stays = this.#away === 'left' && session !== undefined && !session.ended;
    this.#away = undefined;
    if (stays) {
      session.joinRooms();
      this.#awaitJoin(session);
    } else this.connect();
  }
}

const BEHAVIOUR: Record<CohortKind, (member: Member, cohort: Cohort) => void> = {
  healthy() {},

  stalled(member) {
    member.session?.reading.stop();
  },

  throttled(member, { rate }) {
    const tick = (): void => {
      member.session?.reading.grant((rate * THROTTLE_TICK_MS) / 1000);
      member.later(THROTTLE_TICK_MS, tick);
    };
    tick();
  },

  sawtooth(member, { read, pause }) {
    const stop = (): void => {
      member.session?.reading.stop();
      member.later(pause, start);
    };
    const start = (): void => {
      member.session?.reading.start();
      member.later(read, stop);
    };
    member.later(member.around(read) - read / 2, stop);
  },

  late(member, { after }) {
    member.session?.reading.stop();
    member.later(after, () => member.session?.reading.start());
  },

  vanishing(member, { stay, how, back, together }) {
    depart(member, together ? stay : member.around(stay), back, () => member.vanish(how), stay);
  },

  churning(member, { stay, away, together }) {
    depart(member, together ? stay : member.around(stay), away, () => member.leave(), stay);
  },
};

/** Departs after `first` ms, returns `away` ms later, and repeats. */
function depart(member: Member, first: number, away: number, go: () => void, stay: number): void {
  const { together } = member.cohort;
  const again = (): void => depart(member, together ? stay : member.around(stay), away, go, stay);
  member.later(first, () => {
    // A member that is still joining has no room to leave; its join is still awaited.
    if (member.isJoining) {
      member.later(away, again);
      return;
    }
    go();
    member.later(away, () => {
      member.comeBack();
      again();
    });
  });
}
