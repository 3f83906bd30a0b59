/**
 * Who is cut off: a user, or one token, everywhere or in some rooms, until an entry ends or is lifted.
 * Revocations win over whatever is granted.
 *
 * V3: at most `maxRevocations`, beside those of other workers; nothing is let go of to make room for
 * another. They are in memory and gone with the process.
 *
 * Not here: whom of those who are connected an entry cuts, and what is told of one that is too many
 * (`session/people.ts`).
 */
import { randomBytes } from 'node:crypto';
import { Refusal } from '../errors.js';
import { show } from '../protocol/fields.js';
import type { Alarm, Alarms } from './alarms.js';
import { matches, type Pattern, patternOf } from './grants.js';
import { isName, notAName } from './names.js';

/** How long one is kept unless it is said, in milliseconds: a day. */
export const KEEP_MS = 86_400_000;
export const MAX_KEEP_MS = 366 * KEEP_MS;
/** Ids of lifted ones that are remembered, the latest. */
const MAX_LIFTED = 1000;

/** What is to be cut off. */
export interface RevocationRequest {
  /** Of these two, one. */
  readonly user?: string | undefined;
  /** The claim `jti` of a token. */
  readonly token?: string | undefined;
  /** A room, or a prefix and `*`; without, everything. */
  readonly room?: string | undefined;
  /** Tokens issued later are good again. In seconds since 1970, as claims are; now, unless it is said. */
  readonly before?: number | undefined;
  /** How long this is remembered: as long as such tokens are good. */
  readonly keepMs?: number | undefined;
}

export interface Revocation {
  readonly id: string;
  readonly user?: string;
  readonly token?: string;
  readonly room?: string;
  readonly before: number;
  /** Milliseconds since 1970. */
  readonly until: number;
}

/** Whom an entry is about. */
export interface Subject {
  readonly user: string;
  readonly tokenId: string | null;
  readonly issuedAt: number | null;
}

interface Entry {
  readonly shown: Revocation;
  readonly room: Pattern | null;
  readonly alarm: Alarm;
}

export class Revocations {
  /** How many there may be. */
  readonly max: number;
  readonly #toleranceMs: number;
  readonly #alarms: Alarms;
  readonly #entries = new Map<string, Entry>();
  readonly #byUser = new Map<string, Set<Entry>>();
  readonly #byToken = new Map<string, Set<Entry>>();
  /** Of those that were lifted lately: what another worker says of one by now is out of date. */
  readonly #lifted = new Set<string>();

  constructor(max: number, toleranceMs: number, alarms: Alarms) {
    this.max = max;
    this.#toleranceMs = toleranceMs;
    this.#alarms = alarms;
  }

  get size(): number {
    return this.#entries.size;
  }

  list(): Revocation[] {
    return Array.from(this.#entries.values(), ({ shown }) => shown);
  }

  /** One more is too many. */
  get isFull(): boolean {
    return this.#entries.size >= this.max;
  }

  has(id: string): boolean {
    return this.#entries.has(id);
  }

  /**
   * Puts one in force, also where it is too many: that is the caller's to look at. `id`: that of another
   * worker, which has it too, and may say so more than once; null where it was lifted meanwhile.
   * @throws Refusal `bad_command`
   */
  add(asked: unknown, id = newId()): Revocation | null {
    const { user, token, room, before, keepMs } = checked(asked);
    const known = this.#entries.get(id);
    if (known !== undefined) return known.shown;
    if (this.#lifted.has(id)) return null;
    const revocation = {
      id,
      ...(user === undefined ? { token } : { user }),
      ...(room !== undefined && { room }),
      before,
      until: Date.now() + keepMs,
    } as Revocation;
    this.#put(revocation);
    return revocation;
  }

  /** Has one as another worker has it, also where that is too many: without it somebody would come in. */
  take(revocation: Revocation): void {
    const { id, until } = revocation;
    if (until > Date.now() && !this.#entries.has(id) && !this.#lifted.has(id)) {
      this.#put(revocation);
    }
  }

  /** As `remove`, for good: a worker that has yet to hear of it does not bring it back. */
  lift(id: string): boolean {
    this.#lifted.add(id);
    if (this.#lifted.size > MAX_LIFTED) {
      for (const earliest of this.#lifted) {
        this.#lifted.delete(earliest);
        break;
      }
    }
    return this.remove(id);
  }

  /** False where there is none with this id. */
  remove(id: string): boolean {
    const entry = this.#entries.get(id);
    if (entry === undefined) return false;
    entry.alarm.cancel();
    this.#entries.delete(id);
    for (const [key, entries] of this.#keysOf(entry.shown)) {
      const others = entries.get(key);
      others?.delete(entry);
      if (others?.size === 0) entries.delete(key);
    }
    return true;
  }

  /** Why somebody may not be here at all; null where they may. */
  everywhere(subject: Subject): Revocation | null {
    for (const entry of this.#of(subject)) {
      if (entry.room === null && this.#covers(entry, subject)) return entry.shown;
    }
    return null;
  }

  /** Whether somebody may not do anything in a room. */
  inRoom(subject: Subject, room: string): boolean {
    for (const entry of this.#of(subject)) {
      if ((entry.room === null || matches(entry.room, room)) && this.#covers(entry, subject)) {
        return true;
      }
    }
    return false;
  }

  #put(revocation: Revocation): void {
    const { id, room, until } = revocation;
    const entry: Entry = {
      shown: Object.freeze(revocation),
      room: room === undefined ? null : patternOf(room),
      alarm: this.#alarms.set(until, () => this.remove(id)),
    };
    this.#entries.set(id, entry);
    for (const [key, entries] of this.#keysOf(revocation)) {
      const others = entries.get(key);
      if (others === undefined) entries.set(key, new Set([entry]));
      else others.add(entry);
    }
  }

  /** A token that does not say when it was issued may be an old one; a clock of others may be ahead. */
  #covers({ shown }: Entry, { issuedAt }: Subject): boolean {
    return issuedAt === null || issuedAt <= shown.before * 1000 + this.#toleranceMs;
  }

  *#of({ user, tokenId }: Subject): Iterable<Entry> {
    yield* this.#byUser.get(user) ?? [];
    if (tokenId !== null) yield* this.#byToken.get(tokenId) ?? [];
  }

  #keysOf({ user, token }: Revocation): [key: string, entries: Map<string, Set<Entry>>][] {
    return user === undefined ? [[token as string, this.#byToken]] : [[user, this.#byUser]];
  }
}

/** As nobody guesses. */
export const newId = (): string => randomBytes(9).toString('base64url');

/** @throws Refusal `bad_command` */
function checked(asked: unknown) {
  if (typeof asked !== 'object' || asked === null || Array.isArray(asked)) {
    throw bad(`The revocation is ${show(asked)}; it has to be an object with user or token.`);
  }
  const { user, token, room, before, keepMs, ...others } = asked as Record<string, unknown>;
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) {
    throw bad(`There is no ${show(unknown)}; there are user, token, room, before and keepMs.`);
  }
  if ((user === undefined) === (token === undefined)) {
    throw bad('Give one of user and token: a user id, or the jti of a token.');
  }
  if (user !== undefined && !isName(user)) throw bad(notAName('user', user));
  if (token !== undefined && !isName(token)) throw bad(notAName('token', token));
  if (room !== undefined && patternOf(room) === null) {
    throw bad(`room is ${show(room)}; it has to be a room, or a prefix and one * at its end.`);
  }
  const from = before ?? Date.now() / 1000;
  if (typeof from !== 'number' || !Number.isFinite(from) || from < 0) {
    throw bad(`before is ${show(before)}; it has to be seconds since 1970.`);
  }
  const ms = keepMs ?? KEEP_MS;
  if (!Number.isSafeInteger(ms) || (ms as number) < 1 || (ms as number) > MAX_KEEP_MS) {
    throw bad(`keepMs is ${show(keepMs)}; it has to be a whole number, 1 to ${MAX_KEEP_MS}.`);
  }
  return {
    user: user as string | undefined,
    token: token as string | undefined,
    room: room as string | undefined,
    before: from,
    keepMs: ms as number,
  };
}

const bad = (message: string) => new Refusal('bad_command', message);
