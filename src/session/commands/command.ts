/**
 * The contract of a command. Its check, action and reply are in one file named after it; a new command
 * is a new file and a line in `index.ts`.
 *
 * V11: a check throws a Refusal for any invalid field. V14: fields that other entrances accept too are
 * checked by the functions of `protocol/fields.ts`, which those call as well.
 */
import type { Config } from '../../options/config.js';
import type { Fields } from '../../protocol/codec.js';
import type { Event } from '../../protocol/events.js';
import type { CommandId, CommandLimits } from '../../protocol/fields.js';
import type { Hub } from '../../room/hub.js';
import type { Member } from '../../room/member.js';
import type { TokenBucket } from '../../token-bucket.js';
import type { Asking } from '../asking.js';

/** The connection that sent a command, and what the command may use. */
export interface Caller {
  readonly member: Member;
  readonly hub: Hub;
  readonly config: Config;
  readonly publishes: TokenBucket;
  readonly joins: TokenBucket;
  readonly histories: TokenBucket;
  /** Null if the application has no hooks. */
  readonly asking: Asking | null;
  /**
   * @throws Refusal as a rejection, if the connection stays open; `not_enabled` if authentication is off
   */
  authenticate(id: CommandId | undefined, token: unknown): Promise<void>;
  /** Sends the reply `event` if the command had an `id`. */
  reply(id: CommandId | undefined, event: Event): void;
}

export interface Command<Checked = unknown> {
  readonly type: string;
  /** Allowed before the connection is authenticated. */
  readonly isOpen?: true;
  /** The caller's next command may start before this one is done. */
  readonly isPipelined?: true;
  /** Not pipelined if the application is asked about it, since its answers arrive in any order. */
  readonly isInOrderOfApp?: true;
  /** Maximum bytes of its frame; `maxCommandBytes` if absent. */
  maxBytes?(limits: CommandLimits): number;
  /**
   * Checks the fields and returns what `run` needs. `data` is that of `Asked`.
   *
   * @throws Refusal with the code of the first invalid field
   */
  check(fields: Fields, limits: CommandLimits, data?: string): Checked;
  /**
   * Runs the command and replies. Returns a promise if it is not done yet.
   *
   * @throws Refusal; as a rejection if asynchronous
   */
  run(caller: Caller, id: CommandId | undefined, checked: Checked): Promise<unknown> | undefined;
}
