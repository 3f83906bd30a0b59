/** What the modules of one client share. Created by `client.ts`. No code. */
import type { RoomcastError } from './errors.js';
import type { OpenLink } from './link.js';
import type { Publishes } from './publishes.js';
import type { Rooms } from './rooms.js';
import type { Options } from './types.js';

export interface Shared {
  readonly options: Options;
  readonly rooms: Rooms;
  readonly outbox: Publishes;
  /** Set once the client is closed. */
  closed?: RoomcastError;
  now(): number;
  random(): number;
  /** Returns a random pause in milliseconds, given the number of consecutive pauses before it. */
  pauseAfter(pauses: number): number;
  /** The connection, if it accepts commands now. */
  usable(): OpenLink | undefined;
  /** The connection to request history from; undefined without history or while the page is hidden. */
  healer(): OpenLink | undefined;
  isOwn(member: string | null): boolean;
  /** The server has accepted a token. */
  granted(): void;
  /** Closes the client with the error code `code`. `by` is the code in the reason, if another. */
  end(code: string, by?: number | string, message?: string): void;
  /** Reports an error that nothing else reports. */
  fail(error: RoomcastError): void;
}
