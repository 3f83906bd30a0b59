/**
 * Index of authenticated connections by user and by token, so that a revocation finds the connections it
 * affects and cuts them in the same turn, without looking at others (V15).
 *
 * Not here: the revocations (`auth/revocations.ts`), one connection (`identity.ts`).
 */
import { newId, type Revocation, type Revocations } from '../auth/revocations.js';
import { type CloseReason, Refusal } from '../errors.js';
import type { Member } from '../room/member.js';
import { survived } from '../survived.js';

/** An authenticated connection. */
export interface Known {
  readonly member: Member;
  /** Whether its token is still good, considering all revocations. */
  readonly mayStay: boolean;
  close(reason: CloseReason): void;
  /** Leaves the rooms it may no longer be in; returns how many. */
  reassess(): number;
}

/** Result of a revocation. */
export interface Cut {
  /** Id of the revocation. */
  readonly id: string;
  /** Connections closed. */
  readonly closed: number;
  /** Rooms left by connections that stay open. */
  readonly left: number;
}

export class People {
  readonly #byUser = new Map<string, Set<Known>>();
  readonly #byToken = new Map<string, Set<Known>>();
  /** Null if authentication is off. */
  readonly #revocations: Revocations | null;

  constructor(revocations: Revocations | null) {
    this.#revocations = revocations;
  }

  /** Number of connected users. */
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

  /** Number of connections of a user. */
  count(user: string): number {
    return this.#byUser.get(user)?.size ?? 0;
  }

  /** @throws Refusal `not_enabled`, as do the methods below */
  membersOf(user: string): Member[] {
    this.#enabled();
    return this.#of(user).map(({ member }) => member);
  }

  /** Closes all connections of a user. Returns their number. */
  close(user: string, reason: CloseReason): number {
    this.#enabled();
    const all = this.#of(user);
    for (const known of all) survived(() => known.close(reason))();
    return all.length;
  }

  /**
   * Adds a revocation and cuts the connections it affects, in one step. `known`: its id, if another
   * worker has created it.
   *
   * @throws Refusal `bad_command`; `revocations_full` if there are too many: the affected connections
   * are cut, but may come back
   */
  revoke(asked: unknown, known = newId()): Cut {
    const revocations = this.#enabled();
    const isTooMany = revocations.isFull && !revocations.has(known);
    const revocation = revocations.add(asked, known);
    // It was lifted before it reached this worker.
    if (revocation === null) return { id: known, closed: 0, left: 0 };
    const cut = this.#cut(revocation);
    if (isTooMany) {
      revocations.remove(known);
      throw new Refusal(
        'revocations_full',
        `There are ${revocations.max} revocations, the most allowed. The connections it affects were closed, but may come back. Lift some revocations, or raise --max-revocations.`,
      );
    }
    return cut;
  }

  /** Takes over another worker's revocations, before any connection is accepted. */
  take(revocations: readonly Revocation[]): void {
    for (const each of revocations) this.#revocations?.take(each);
  }

  /** Whether the revocation is in force: not lifted and not expired. */
  isRevoked(id: string): boolean {
    return this.#revocations?.has(id) === true;
  }

  revocations(): Revocation[] {
    return this.#enabled().list();
  }

  /** Lifts a revocation. Returns false if there is none with this id. */
  lift(id: string): boolean {
    return this.#enabled().lift(id);
  }

  #cut({ id, user, token, room }: Revocation): Cut {
    const about =
      user === undefined ? [...(this.#byToken.get(token as string) ?? [])] : this.#of(user);
    let closed = 0;
    let left = 0;
    for (const known of about) {
      // A failure at one connection does not stop the others from being cut.
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
    throw new Refusal('not_enabled', 'Authentication is off, so this server has no users.');
  }

  /** A copy, since closing a connection changes the index. */
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
