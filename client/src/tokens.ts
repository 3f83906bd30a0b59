/**
 * The app's tokens. One `getToken` call runs at a time, with a deadline, and all waiters share it. The
 * token is sent in a frame, never in a URL, and refreshed on the living connection before it expires.
 */

import { Unauthorised } from './errors.js';
import { REFRESH_MS, TOKEN_MS } from './limits.js';
import type { Link } from './link.js';
import type { Shared } from './shared.js';
import type { TokenReason } from './types.js';
import { deferred, later, type Settle, type Timer } from './wait.js';

export interface Tokens {
  /** @throws as a rejection what `getToken` throws; RoomcastError `timeout`, `closed` */
  get(reason: TokenReason): Promise<string | null | undefined>;
  present(link: Link, token: string): void;
  /** Fetches another token and sends it, since the current one is about to expire or was refused. */
  refresh(reason: TokenReason): Promise<void>;
  /** The connection was lost. */
  lost(): void;
  /** The client was closed. */
  close(): void;
}

export function tokens(shared: Shared): Tokens {
  const { options, random, usable } = shared;
  const { getToken } = options;
  let asked: Promise<string | null | undefined> | undefined;
  let stop: Settle<never> = () => {};
  let timer: Timer | undefined;

  const refreshIn = (ms: number | undefined, reason: TokenReason): void => {
    clearTimeout(timer);
    // The token lasts as long as the connection.
    if (ms === undefined) return;
    timer = later(() => self.refresh(reason), ms || REFRESH_MS * (1 + random()));
  };
  const ask = async (reason: TokenReason) => {
    // Lets the caller of `connect` add listeners before anything happens.
    await undefined;
    const controller = new AbortController();
    const { signal } = controller;
    const [stopped, settle, isOver] = deferred<never>(shared, undefined, undefined, () =>
      controller.abort(),
    );
    stop = settle;
    const limit = later(() => stop('timeout'), TOKEN_MS);
    try {
      return await Promise.race([isOver ? null : getToken?.({ reason, signal }), stopped]);
    } catch (cause) {
      if (cause instanceof Unauthorised) shared.end('unauthorised', undefined, cause.message);
      throw cause;
    } finally {
      clearTimeout(limit);
    }
  };
  const self: Tokens = {
    get: (reason) =>
      (asked ??= ask(reason).finally(() => {
        asked = undefined;
      })),
    present(link, token) {
      link.ask({ type: 'auth', token }, (reply) => {
        if (!reply) return;
        const isGood = reply.type === 'authenticated';
        if (isGood) shared.granted();
        // After a refusal the server closes the connection, at the latest when the previous token
        // expires.
        refreshIn(isGood ? reply.refreshInMs : 0, isGood ? 'expiring' : 'rejected');
      });
    },
    async refresh(reason) {
      const link = usable();
      if (!link || !getToken || asked) return;
      self.lost();
      try {
        const token = await self.get(reason);
        if (token && link === usable()) self.present(link, token);
      } catch {
        if (link === usable()) refreshIn(0, reason);
      }
    },
    lost: () => clearTimeout(timer),
    close: () => stop('closed'),
  };
  return self;
}
