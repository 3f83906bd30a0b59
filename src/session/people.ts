/**
 * Who of the users is connected, and by which token: where a revocation finds those whom it cuts, in
 * the same turn and without a look at anybody else (V15).
 *
 * Not here: which revocations there are (`auth/revocations.ts`), one connection (`identity.ts`).
 */
import { newId, type Revocation, type Revocations } from '../auth/revocations.js';
import { type CloseReason, Refusal } from '../errors.js';
import type { Member } from '../room/member.js';
import { survived } from '../survived.js';

/** A connection that has said who it is. */
export interface Known {
  readonly member: Member;
  /** Whether it may be here at all, as things are. */
  readonly mayStay: boolean;
  close(reason: CloseReason): void;
  /** Leaves the rooms that it may not be in, as things are; how many they were. */
  reassess(): number;
}

/** What a revocation came to. */
export interface Cut {
  /** Of the revocation. */
  readonly id: string;
  /** Connections that were closed. */
  readonly closed: number;
  /** Rooms that were left, of connections that go on. */
  readonly left: number;
}

export class People {
  readonly #byUser = new Map<string, Set<Known>>();
  readonly #byToken = new Map<string, Set<Known>>();
  /** Null where nobody can say who they are. */
  readonly #revocations: Revocations | null;

  constructor(revocations: Revocations | null) {
    this.#revocations = revocations;
  }

  /** Users that are connected. */
  get size(): number {
    return this.#byUser.size;
  }

  add(known: Known, user: string, tokenId: string | null): void {
    put(this.#byUser, user, known);
    if (tokenId !== null) put(this.#byToken, tokenId, known);
  }

  remove(known: Known, user: string, tokenId: string | null): void {
    take(this.#byUser, user, known);
    if (tokenId !== null) take(this.#byToken, tokenId, known);
  }

  /** How many connections a user has. */
  count(user: string): number {
    return this.#byUser.get(user)?.size ?? 0;
  }

  /** @throws Refusal `not_enabled`, as do the others below */
  membersOf(user: string): Member[] {
    this.#enabled();
    return this.#of(user).map(({ member }) => member);
  }

  /** Closes the connections of a user; how many they were. */
  close(user: string, reason: CloseReason): number {
    this.#enabled();
    const all = this.#of(user);
    for (const known of all) survived(() => known.close(reason))();
    return all.length;
  }

  /**
   * Puts a revocation in force, and cuts those whom it is about, in one step. `known`: its id at
   * another worker.
   * @throws Refusal `bad_command`; `revocations_full` where it is one too many: those whom it is about
   *   are cut, and may come back
   */
  revoke(asked: unknown, known = newId()): Cut {
    const revocations = this.#enabled();
    const isTooMany = revocations.isFull && !revocations.has(known);
    const revocation = revocations.add(asked, known);
    // It was lifted on its way here.
    if (revocation === null) return { id: known, closed: 0, left: 0 };
    const cut = this.#cut(revocation);
    if (isTooMany) {
      revocations.remove(known);
      throw new Refusal(
        'revocations_full',
        `There are ${revocations.max} revocations; so many are allowed. Who is connected was cut off, and may come back. Lift some, or raise --max-revocations.`,
      );
    }
    return cut;
  }

  /** Has those that another worker has, before anybody is connected. */
  take(revocations: readonly Revocation[]): void {
    for (const each of revocations) this.#revocations?.take(each);
  }

  /** Whether nobody has lifted it, and it has not ended. */
  isRevoked(id: string): boolean {
    return this.#revocations?.has(id) === true;
  }

  revocations(): Revocation[] {
    return this.#enabled().list();
  }

  /** Lets somebody in again. False where there is no revocation with this id. */
  lift(id: string): boolean {
    return this.#enabled().lift(id);
  }

  #cut({ id, user, token, room }: Revocation): Cut {
    const about =
      user === undefined ? [...(this.#byToken.get(token as string) ?? [])] : this.#of(user);
    let closed = 0;
    let left = 0;
    for (const known of about) {
      // Whatever becomes of one, the others are cut.
      survived(() => {
        if (room !== undefined) left += known.reassess();
        else if (!known.mayStay) {
          known.close('revoked');
          closed += 1;
        }
      })();
    }
    return { id, closed, left };
  }

  #enabled(): Revocations {
    if (this.#revocations !== null) return this.#revocations;
    throw new Refusal('not_enabled', 'This server has no keys, so that nobody is a user.');
  }

  /** A copy: to close one changes the index. */
  #of(user: string): readonly Known[] {
    return [...(this.#byUser.get(user) ?? [])];
  }
}

function put(index: Map<string, Set<Known>>, key: string, known: Known): void {
  const others = index.get(key);
  if (others === undefined) index.set(key, new Set([known]));
  else others.add(known);
}

function take(index: Map<string, Set<Known>>, key: string, known: Known): void {
  const others = index.get(key);
  others?.delete(known);
  if (others?.size === 0) index.delete(key);
}
