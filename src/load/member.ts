/**
 * One member of the crowd: connects, behaves, and from the disturbance's begin to its end is slow
 * in its cohort's way. Owns every timer of the member. Not here: what it receives (session.ts).
 */
import { randomOf } from './assign.js';
import type { Cohort, CohortKind } from './cohort.js';
import type { Crew } from './crew.js';
import { count } from './measure/tally.js';
import { Session } from './session.js';

const READ_SIZE = 64 * 1024;
/** Members that read by the byte take this much at a time. */
const THROTTLED_READ_SIZE = 2048;
const THROTTLE_TICK_MS = 50;
/** Whom the server has ended is back after this. */
const COME_BACK_MS = 200;
/** Who is not in all rooms by then has failed to join. */
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
  /** Is slow in its cohort's way now. */
  #disturbed = false;

  /** @param cohortIndex into the plan's cohorts */
  constructor(crew: Crew, number: number, cohortIndex: number) {
    this.#crew = crew;
    this.#number = number;
    this.#cohortIndex = cohortIndex;
    this.cohort = crew.plan.cohorts[cohortIndex]!;
    this.#random = randomOf(crew.plan.seed * 1_000_003 + number);
  }

  /** @param settled called once: in all its rooms, or failed */
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

  /** It has asked to be in its rooms, and is not yet: neither joined, nor refused, nor given up. */
  get isJoining(): boolean {
    const { session } = this;
    return session !== undefined && !session.ended && !session.present && !this.#away;
  }

  /** Its join counts as failed, and is waited for no more. */
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

  /** The disturbance is over: the member behaves, and is back if it had left of its own accord. */
  behave(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    this.#disturbed = false;
    if (this.#away !== undefined) this.comeBack();
    else if (this.session?.ended) this.#comeBackIfEvicted();
    else this.session?.reading.start();
  }

  /** Whom the server has ended for being slow is there again for the next turn. */
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

  /** How it is absent of its own accord. */
  #away: 'left' | 'disconnected' | undefined;

  later(ms: number, act: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      act();
    }, ms);
    this.#timers.add(timer);
  }

  /** A time around `mean`: half to one and a half of it, the same in every run of a seed. */
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

  /** Is back from `vanish` or `leave`, on a new connection where the one before has ended. */
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

/** Goes after `first`, is back `away` later, and so on. */
function depart(member: Member, first: number, away: number, go: () => void, stay: number): void {
  const { together } = member.cohort;
  const again = (): void => depart(member, together ? stay : member.around(stay), away, go, stay);
  member.later(first, () => {
    // Who is not in its rooms yet has none to leave, and its join is still waited for.
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
