/**
 * The permissions in a token, by room: `{"chat:*":["join","publish"],"news":["join"]}`. A pattern is a
 * room name, or a prefix followed by one `*`. Grants only add permissions, in any order.
 *
 * V3: at most `MAX_PATTERNS`, compiled once. No regular expression is built from a token.
 *
 * Not here: the permissions of everybody in a namespace (`permissions.ts`).
 */
import { Refusal } from '../errors.js';
import { show } from '../protocol/fields.js';
import { ACTIONS, type Action } from '../room/identity.js';

export const MAX_PATTERNS = 100;
const MAX_PATTERN_LENGTH = 1025;

const BIT: Readonly<Record<Action, number>> = { join: 1, publish: 2, history: 4, presence: 8 };

/** A room, or all rooms with a prefix. */
export interface Pattern {
  readonly text: string;
  readonly isPrefix: boolean;
}

/** Null if the text is not a pattern. */
export function patternOf(text: unknown): Pattern | null {
  if (typeof text !== 'string' || text.length === 0 || text.length > MAX_PATTERN_LENGTH)
    return null;
  const star = text.indexOf('*');
  if (star < 0) return { text, isPrefix: false };
  return star === text.length - 1 ? { text: text.slice(0, -1), isPrefix: true } : null;
}

export const matches = ({ text, isPrefix }: Pattern, room: string): boolean =>
  isPrefix ? room.startsWith(text) : room === text;

export class Grants {
  readonly #rooms = new Map<string, number>();
  readonly #prefixes: (readonly [prefix: string, bits: number])[] = [];

  /**
   * `claim`: name of the claim, for error messages.
   * @throws Refusal `token_invalid`
   */
  constructor(granted: unknown, claim: string) {
    if (granted === undefined) return;
    if (typeof granted !== 'object' || granted === null || Array.isArray(granted)) {
      throw bad(`${claim} is ${show(granted)}; it must be {"<room or prefix*>":[<actions>],…}.`);
    }
    const entries = Object.entries(granted);
    if (entries.length > MAX_PATTERNS) {
      throw bad(`${claim} has ${entries.length} patterns; ${MAX_PATTERNS} are allowed.`);
    }
    for (const [text, actions] of entries) {
      const pattern = patternOf(text);
      if (pattern === null) {
        throw bad(`${claim} has the pattern ${show(text)}; a * is allowed at its end only.`);
      }
      const bits = bitsOf(actions, `${claim} ${show(text)}`);
      if (pattern.isPrefix) this.#prefixes.push([pattern.text, bits]);
      else this.#rooms.set(pattern.text, bits);
    }
  }

  allow(action: Action, room: string): boolean {
    const bit = BIT[action];
    if (((this.#rooms.get(room) ?? 0) & bit) !== 0) return true;
    for (const [prefix, bits] of this.#prefixes) {
      if ((bits & bit) !== 0 && room.startsWith(prefix)) return true;
    }
    return false;
  }
}

function bitsOf(actions: unknown, where: string): number {
  if (!Array.isArray(actions)) throw bad(`${where} is ${show(actions)}; it must be an array.`);
  let bits = 0;
  for (const action of actions) {
    if (!ACTIONS.includes(action)) {
      throw bad(`${where} has ${show(action)}; the actions are ${ACTIONS.join(', ')}.`);
    }
    bits |= BIT[action as Action];
  }
  return bits;
}

const bad = (message: string) => new Refusal('token_invalid', message);
