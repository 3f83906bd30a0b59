/**
 * What a command is: its check, what it does, and its reply, in one file named after it. A new one
 * is a file beside the others and a line in `index.ts`.
 *
 * V11: a check throws a Refusal at whatever a field may be; V14: what other entrances take as well is
 * checked by the functions of `protocol/fields.ts`, which they call too.
 */
import type { Config } from '../../options/config.js';
import type { Fields } from '../../protocol/codec.js';
import type { Event } from '../../protocol/events.js';
import type { CommandId, CommandLimits } from '../../protocol/fields.js';
import type { Hub } from '../../room/hub.js';
import type { Member } from '../../room/member.js';
import type { TokenBucket } from '../../token-bucket.js';
import type { Asking } from '../asking.js';

/** Who has sent a command, and what it may use. */
export interface Caller {
  readonly member: Member;
  readonly hub: Hub;
  readonly config: Config;
  readonly publishes: TokenBucket;
  readonly joins: TokenBucket;
  readonly histories: TokenBucket;
  /** Null where the app has nothing to say. */
  readonly asking: Asking | null;
  /** @throws Refusal as a rejection, where the connection goes on; at once where there are no keys */
  authenticate(id: CommandId | undefined, token: unknown): Promise<void>;
  /** Sends `event`, which has that id, to a caller that has given one. */
  reply(id: CommandId | undefined, event: Event): void;
}

export interface Command<Checked = unknown> {
  readonly type: string;
  /** Whether somebody may send it who has yet to say who they are. */
  readonly isOpen?: true;
  /** Whether the caller's next command is begun before this one is done. */
  readonly isPipelined?: true;
  /** Not where the app is asked about it: its answers come in any order. */
  readonly isInOrderOfApp?: true;
  /** Most bytes of a frame with it; without, `maxCommandBytes`. */
  maxBytes?(limits: CommandLimits): number;
  /**
   * What it has to know of its fields, each of which was looked at; `data` is as `Asked` has it.
   * @throws Refusal with the code of the first thing wrong
   */
  check(fields: Fields, limits: CommandLimits, data?: string): Checked;
  /**
   * Carries it out and replies; what comes later is a promise.
   * @throws Refusal, as a rejection if later
   */
  run(caller: Caller, id: CommandId | undefined, checked: Checked): Promise<unknown> | undefined;
}
