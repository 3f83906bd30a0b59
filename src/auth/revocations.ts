/**
 * Revocations: of a user or a token, everywhere or in some rooms, until an entry expires or is lifted.
 * A revocation overrides every grant.
 *
 * V3: at most `maxRevocations`, plus those of other workers; none is evicted for another. They are in
 * memory only and end with the process.
 *
 * Not here: disconnecting the members that an entry concerns, and the answer when the limit is reached
 * (`session/people.ts`).
 */
import { randomBytes } from 'node:crypto';
import { Refusal } from '../errors.js';
import { show } from '../protocol/fields.js';
import type { Alarm, Alarms } from './alarms.js';
import { matches, type Pattern, patternOf } from './grants.js';
import { isName, notAName } from './names.js';

/** How long an entry is kept by default, in milliseconds: a day. */
export const KEEP_MS = 86_400_000;
export const MAX_KEEP_MS = 366 * KEEP_MS;
/** Maximum ids of lifted entries that are remembered, the latest. */
const MAX_LIFTED = 1000;

/** A revocation to add. */
export interface RevocationRequest {
  /** Give either `user` or `token`. */
  readonly user?: string | undefined;
  /** The claim `jti` of the token. */
  readonly token?: string | undefined;
  /** A room, or a prefix and `*`; default: everywhere. */
  readonly room?: string | undefined;
  /** Tokens issued later are not affected. In seconds since 1970, like claims; default: now. */
  readonly before?: number | undefined;
  /** How long to keep the entry, in milliseconds: as long as such tokens are valid. Default: a day. */
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

/** The user and token that an entry may apply to. */
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
  /** Maximum number of entries. */
  readonly max: number;
  readonly #toleranceMs: number;
  readonly #alarms: Alarms;
  readonly #entries = new Map<string, Entry>();
  readonly #byUser = new Map<string, Set<Entry>>();
  readonly #byToken = new Map<string, Set<Entry>>();
  /** Ids of recently lifted entries: another worker may still send them. */
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

  /** Whether the limit is reached. */
  get isFull(): boolean {
    return this.#entries.size >= this.max;
  }

  has(id: string): boolean {
    return this.#entries.has(id);
  }

  /**
   * Adds an entry, even above the limit; the caller must check `isFull`. `id`: that of the same entry at
   * another worker, which may send it more than once; returns null if it has been lifted meanwhile.
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

  /** Adds an entry of another worker, even above the limit: without it, a revoked user could connect. */
  take(revocation: Revocation): void {
    const { id, until } = revocation;
    if (until > Date.now() && !this.#entries.has(id) && !this.#lifted.has(id)) {
      this.#put(revocation);
    }
  }

  /** Like `remove`, but permanent: a worker that has not lifted it yet cannot add it again. */
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

  /** Returns false if there is no entry with this id. */
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

  /** The entry that bans the subject everywhere; null if there is none. */
  everywhere(subject: Subject): Revocation | null {
    for (const entry of this.#of(subject)) {
      if (entry.room === null && this.#covers(entry, subject)) return entry.shown;
    }
    return null;
  }

  /** Whether an entry bans the subject from the room. */
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

  /** A token without an issue time may be an old one; the clock of the issuer may be ahead. */
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

/** A random id that cannot be guessed. */
export const newId = (): string => randomBytes(9).toString('base64url');

/** @throws Refusal `bad_command` */
function checked(asked: unknown) {
  if (typeof asked !== 'object' || asked === null || Array.isArray(asked)) {
    throw bad(`The revocation is ${show(asked)}; it must be an object with user or token.`);
  }
  const { user, token, room, before, keepMs, ...others } = asked as Record<string, unknown>;
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) {
    throw bad(`The field ${show(unknown)} is unknown; use user, token, room, before and keepMs.`);
  }
  if ((user === undefined) === (token === undefined)) {
    throw bad('Give one of user and token: a user id, or the jti of a token.');
  }
  if (user !== undefined && !isName(user)) throw bad(notAName('user', user));
  if (token !== undefined && !isName(token)) throw bad(notAName('token', token));
  if (room !== undefined && patternOf(room) === null) {
    throw bad(`room is ${show(room)}; it must be a room, or a prefix with one * at its end.`);
  }
  const from = before ?? Date.now() / 1000;
  if (typeof from !== 'number' || !Number.isFinite(from) || from < 0) {
    throw bad(`before is ${show(before)}; it must be seconds since 1970.`);
  }
  const ms = keepMs ?? KEEP_MS;
  if (!Number.isSafeInteger(ms) || (ms as number) < 1 || (ms as number) > MAX_KEEP_MS) {
    throw bad(`keepMs is ${show(keepMs)}; it must be a whole number from 1 to ${MAX_KEEP_MS}.`);
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
