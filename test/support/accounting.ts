/**
 * The account of a run, made only from logs: what publishers sent and were answered, and what members
 * received. It knows nothing of the broker under test, so that the same account judges all brokers.
 *
 * 1 one payload for each (room, epoch, seq) · 2 numbers rise, epochs come in one order · 3 received
 * plus reported missing is everything, once · 4 an accepted message is received, reported missing, or
 * before a reset · 5 a refused message is never received · 6 an uncertain one at most once per epoch ·
 * 7 nothing after its deadline · 8 an undisturbed member has no gap and no reset
 */

interface Place {
  readonly epoch: string;
  readonly seq: number;
}

/** A publish and its outcome. All times are on one shared clock. */
export interface Published {
  readonly room: string;
  /** Unique in the run. */
  readonly payload: string;
  readonly sentAt: number;
  readonly deadline: number;
  /** `pending`: no answer when the log ended. */
  readonly answer: Place | 'refused' | 'uncertain' | 'pending';
}

/** An event that a member received. */
export type Told =
  | { readonly type: 'joined'; readonly at: number; readonly position: Place }
  /** It returned with a position that could be resumed; the room is at `position` by then. */
  | {
      readonly type: 'rejoined';
      readonly at: number;
      readonly since: Place;
      readonly position: Place;
    }
  | {
      readonly type: 'message';
      readonly at: number;
      readonly place: Place;
      readonly payload: string;
    }
  | { readonly type: 'gap'; readonly at: number; readonly from: number; readonly to: number }
  | { readonly type: 'reset'; readonly at: number; readonly position: Place; readonly was: Place };

export interface MemberLog {
  readonly name: string;
  readonly room: string;
  readonly told: readonly Told[];
  /** When it left, or its node died; null if it stayed to the end. */
  readonly endedAt: number | null;
  /** No fault was injected into its node or the broker of its room. */
  readonly isUndisturbed?: boolean;
}

/** Tolerance of rule 7 for clock differences and delivery time, in milliseconds. */
const TOLERANCE_MS = 2000;

/**
 * Returns the violations, one line each, beginning with the number of the rule. `places`: the payload
 * at each position in earlier runs, to which this run adds.
 */
export function audit(
  published: readonly Published[],
  members: readonly MemberLog[],
  places = new Map<string, string>(),
): string[] {
  const faults: string[] = [];
  const account = new Account(published, faults, places);
  const stays = members.map((member) => new Stay(member, account, faults));
  for (const stay of stays) stay.close();
  checkEpochs(members, faults);
  checkAnswers(published, stays, account, faults);
  return faults;
}

/** The known publication at each position of each room. */
class Account {
  readonly #places: Map<string, string>;
  readonly byPayload = new Map<string, Published>();
  /** The highest position accepted or seen, by room and epoch. */
  readonly ends = new Map<string, number>();
  readonly #faults: string[];

  constructor(published: readonly Published[], faults: string[], places: Map<string, string>) {
    this.#faults = faults;
    this.#places = places;
    for (const each of published) {
      this.byPayload.set(each.payload, each);
      if (typeof each.answer === 'object') this.place(each.room, each.answer, each.payload);
    }
  }

  place(room: string, { epoch, seq }: Place, payload: string): void {
    const key = `${room} ${epoch} ${seq}`;
    const before = this.#places.get(key);
    if (before === undefined) this.#places.set(key, payload);
    else if (before !== payload) this.#faults.push(`1: ${key} is ${before} and ${payload}`);
    const end = `${room} ${epoch}`;
    this.ends.set(end, Math.max(this.ends.get(end) ?? 0, seq));
  }
}

interface Term {
  readonly epoch: string;
  /** The member must receive everything after this number. */
  readonly start: number;
  /** When it began. */
  readonly at: number;
  /** The last number received or reported missing. */
  last: number;
  readonly has: Set<number>;
  /** Last number of the epoch, from the reset that ended it; null for the last epoch. */
  wasTo: number | null;
}

/** One member in its room, read from its log. */
class Stay {
  readonly log: MemberLog;
  readonly terms: Term[] = [];
  readonly seen = new Map<string, string[]>();
  readonly #account: Account;
  readonly #faults: string[];

  constructor(log: MemberLog, account: Account, faults: string[]) {
    this.log = log;
    this.#account = account;
    this.#faults = faults;
    for (const told of log.told) this.#read(told);
  }

  /** At the end it must have everything of its current epoch. */
  close(): void {
    const term = this.terms.at(-1);
    if (term === undefined || this.log.endedAt !== null) return;
    const end = this.#account.ends.get(`${this.log.room} ${term.epoch}`) ?? 0;
    if (term.last < end) this.#fault(3, `ends at ${term.epoch} ${term.last}, the room at ${end}`);
  }

  #read(told: Told): void {
    const { room, isUndisturbed } = this.log;
    const term = this.terms.at(-1);
    if (told.type === 'joined') {
      this.#begin(told.position, told.at);
      return;
    }
    if (term === undefined) {
      this.#fault(3, `is told of ${told.type} before it has joined`);
      return;
    }
    if (isUndisturbed && (told.type === 'gap' || told.type === 'reset')) {
      this.#fault(8, `is told of a ${told.type}`);
    }
    if (told.type === 'message') {
      const { place, payload } = told;
      this.#account.place(room, place, payload);
      this.seen.set(payload, [...(this.seen.get(payload) ?? []), place.epoch]);
      this.#late(told);
      if (place.epoch !== term.epoch) {
        this.#fault(2, `has ${place.epoch} ${place.seq} while in ${term.epoch}`);
        return;
      }
      this.#advance(term, place.seq, place.seq);
      term.has.add(place.seq);
    } else if (told.type === 'gap') this.#advance(term, told.from, told.to);
    else if (told.type === 'rejoined') this.#comesBack(term, told.since, told.position);
    else {
      const { position, was } = told;
      if (was.epoch !== term.epoch || was.seq !== term.last) {
        this.#fault(
          3,
          `was at ${term.epoch} ${term.last}, and is told it was at ${was.epoch} ${was.seq}`,
        );
      }
      term.wasTo = term.last;
      this.#begin(position, told.at);
    }
  }

  #begin({ epoch, seq }: Place, at: number): void {
    if (this.terms.some((term) => term.epoch === epoch)) this.#fault(2, `is in ${epoch} again`);
    this.terms.push({ epoch, start: seq, at, last: seq, has: new Set(), wasTo: null });
  }

  #advance(term: Term, from: number, to: number): void {
    if (from <= term.last) this.#fault(2, `is told of ${term.epoch} ${from} after ${term.last}`);
    else if (from > term.last + 1) {
      this.#fault(3, `is not told of ${term.epoch} ${term.last + 1} to ${from - 1}`);
    }
    term.last = Math.max(term.last, to);
  }

  #comesBack(term: Term, since: Place, position: Place): void {
    if (since.epoch !== term.epoch || since.seq !== term.last) {
      this.#fault(3, `was at ${term.epoch} ${term.last}, and comes back with ${since.seq}`);
    }
    if (position.epoch !== term.epoch || position.seq < term.last) {
      this.#fault(
        3,
        `is at ${term.epoch} ${term.last}; the room it comes back to at ${position.epoch} ${position.seq}`,
      );
    }
  }

  #late({ at, payload }: { readonly at: number; readonly payload: string }): void {
    const published = this.#account.byPayload.get(payload);
    if (published !== undefined && at > published.deadline + TOLERANCE_MS) {
      this.#fault(7, `has ${payload} ${Math.round(at - published.deadline)} ms after its deadline`);
    }
  }

  #fault(rule: number, what: string): void {
    this.#faults.push(`${rule}: ${this.log.name} in ${this.log.room} ${what}`);
  }
}

/** Checks that no two members move between two epochs in opposite directions. */
function checkEpochs(members: readonly MemberLog[], faults: string[]): void {
  const before = new Set<string>();
  for (const { name, room, told } of members) {
    const epochs = told.flatMap((each) =>
      each.type === 'joined' || each.type === 'reset' ? [each.position.epoch] : [],
    );
    epochs.forEach((later, i) => {
      for (const earlier of epochs.slice(0, i)) {
        if (before.has(`${room} ${later} ${earlier}`)) {
          faults.push(
            `2: ${name} in ${room} goes from ${earlier} to ${later}, others the other way`,
          );
        }
        before.add(`${room} ${earlier} ${later}`);
      }
    });
  }
}

function checkAnswers(
  published: readonly Published[],
  stays: readonly Stay[],
  account: Account,
  faults: string[],
): void {
  for (const { room, payload, answer, sentAt } of published) {
    const here = stays.filter(({ log }) => log.room === room);
    const seenIn = (stay: Stay) => stay.seen.get(payload) ?? [];
    if (answer === 'refused') {
      for (const stay of here) {
        if (seenIn(stay).length > 0)
          faults.push(`5: ${payload} was refused; ${stay.log.name} has it`);
      }
      continue;
    }
    for (const stay of here) {
      const epochs = seenIn(stay);
      if (new Set(epochs).size < epochs.length) {
        faults.push(`6: ${stay.log.name} has ${payload} twice in an epoch`);
      }
    }
    if (typeof answer === 'string') {
      if (new Set(here.flatMap(seenIn)).size > 1) {
        faults.push(`6: ${payload} is in several epochs`);
      }
      continue;
    }
    for (const stay of here) {
      const fault = lacks(stay, answer, sentAt);
      if (fault !== null)
        faults.push(`4: ${payload} at ${answer.epoch} ${answer.seq}: ${stay.log.name} ${fault}`);
    }
  }
  // Members only receive what was published.
  for (const stay of stays) {
    for (const payload of stay.seen.keys()) {
      if (!account.byPayload.has(payload))
        faults.push(`1: ${stay.log.name} has ${payload}, of nobody`);
    }
  }
}

/**
 * Why a member lacks, unreported, a message that was accepted while the member was in the room; or
 * null.
 */
function lacks({ log, terms }: Stay, { epoch, seq }: Place, sentAt: number): string | null {
  const [first] = terms;
  if (first === undefined || log.endedAt !== null || first.at > sentAt) return null;
  const at = terms.findIndex((term) => term.epoch === epoch);
  // A reset in between reported that the rest is unknown.
  if (at < 0)
    return terms.length > 1 && (terms.at(-1)?.at ?? 0) > sentAt ? null : 'was never in that epoch';
  const term = terms[at] as Term;
  if (term.wasTo !== null && seq > term.wasTo) return null;
  if (seq > term.start) return term.last >= seq ? null : 'was not told of it';
  return at > 0 ? null : 'is told to begin after it';
}
