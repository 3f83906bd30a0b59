/** What the parts of one client share: `client.ts` makes it. No code. */
import type { RoomcastError } from './errors.js';
import type { OpenLink } from './link.js';
import type { Publishes } from './publishes.js';
import type { Rooms } from './rooms.js';
import type { Options } from './types.js';

export interface Shared {
  readonly options: Options;
  readonly rooms: Rooms;
  readonly outbox: Publishes;
  /** Why it is over. */
  closed?: RoomcastError;
  now(): number;
  random(): number;
  /** The pause, drawn, after as many in a row. */
  pauseAfter(pauses: number): number;
  /** The connection that takes commands now. */
  usable(): OpenLink | undefined;
  /** The connection to ask for history, where it has one and this is the time to ask. */
  healer(): OpenLink | undefined;
  isOwn(member: string | null): boolean;
  /** The server has taken a token. */
  granted(): void;
  /** Closes the client: why, in a code; what said so, where that was another. */
  end(code: string, by?: number | string, message?: string): void;
  /** For what nobody else is told. */
  fail(error: RoomcastError): void;
}
