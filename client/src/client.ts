/**
 * The connection state machine: when to connect, when to retry, and what to send first on a new
 * connection: the token, then joins, then publishes.
 *
 *   idle → connecting → online → waiting → connecting …     suspended while the page is frozen
 *   any → closed, permanently
 *
 * Only one attempt or connection is current. Callbacks of an earlier one detect that and do nothing.
 * Every wait has a deadline, so the client cannot get stuck in a state.
 *
 * Not here: one connection (`link.ts`), close codes (`close-codes.ts`), rooms (`rooms.ts`), publishes
 * (`publishes.ts`), tokens (`tokens.ts`).
 */
import { waitAfter } from './close-codes.js';
import { emitter } from './emitter.js';
import { RoomcastError, report } from './errors.js';
import { page } from './lifecycle.js';
import {
  AGAIN_MS,
  LEAST_PAUSE_MS,
  LONGEST_PAUSE_MS,
  MEMBERS,
  PAUSE_MS,
  STABLE_MS,
  UNREACHABLE,
} from './limits.js';
import { builtIn, type Link, type OpenLink, openLink } from './link.js';
import { publishes } from './publishes.js';
import { rooms } from './rooms.js';
import type { Shared } from './shared.js';
import { tokens } from './tokens.js';
import type {
  Client,
  ClientEvents,
  CloseReason,
  LifecycleEvent,
  Options,
  Room,
  RoomOptions,
  State,
  TokenReason,
} from './types.js';
import { deferred, later, type Timer } from './wait.js';
import type { Frame } from './wire.js';

export function client(url: string, options: Options): Client {
  const {
    getToken,
    backoff: { baseMs = PAUSE_MS, capMs = LONGEST_PAUSE_MS, stableMs = STABLE_MS } = {},
    lifecycle = page,
    random = Math.random,
    now = Date.now,
    WebSocket = builtIn,
  } = options;
  let state: State = 'idle';
  let link: Link | undefined;
  /** The current attempt. Compared by identity. */
  let attempt = {};
  /** Consecutive pauses without a stable connection between them. */
  let pauses = 0;
  /** Consecutive attempts that ended before the server's first frame. */
  let unheard = 0;
  let attemptAt = -1 / 0;
  let notBefore = 0;
  let dueAt = 0;
  let onlineAt = 0;
  let timer: Timer | undefined;
  let isHidden = false;
  let beganHidden = false;
  /** Consecutive closes by code. Without `getToken` there is no other token to try after 4001. */
  let times: Record<number | string, number> = { 4001: getToken ? 0 : 1 };
  let tokenReason: TokenReason = 'connect';
  let token: string | null | undefined;
  let wasToldNotOffered = false;
  let members: (string | null)[] = [];
  let closing: Promise<void> | undefined;

  const fail = (error: RoomcastError): void => {
    if (!emit('error', error)) report(error);
  };
  const { on, emit, offAll } = emitter<ClientEvents>(fail);
  const change = (next: State, about?: { reason: CloseReason; retryInMs?: number }) => {
    const previous = state;
    state = next;
    return emit('state', { state, previous, ...about });
  };
  const usable = () => (link?.welcome && !link.closing ? (link as OpenLink) : undefined);

  const schedule = (ms: number): void => {
    clearTimeout(timer);
    dueAt = now() + ms;
    timer = later(start, ms);
  };
  const wait = (ms: number, reason: CloseReason): void => {
    schedule(ms);
    change('waiting', { reason, retryInMs: ms });
  };
  const pause = (reason: CloseReason, leastMs = 0, cause: unknown = reason): void => {
    notBefore = now() + leastMs;
    wait(Math.max(leastMs, shared.pauseAfter(pauses)), reason);
    pauses += 1;
    if (unheard === UNREACHABLE) fail(new RoomcastError('unreachable', { cause }));
  };
  /** Drops the current attempt or connection. */
  const detach = (isTooBig = false): void => {
    const before = link;
    attempt = {};
    link = undefined;
    clearTimeout(timer);
    auth.lost();
    before?.end();
    all.lost();
    outbox.lost(isTooBig);
  };
  const end = (code: string, by: number | string = code, message = ''): void => {
    if (shared.closed) return;
    const reason = { code: by, message };
    shared.closed = new RoomcastError(code, { cause: reason });
    unwatch?.();
    auth.close();
    detach();
    outbox.close(code);
    all.close(shared.closed);
    // A close that the app did not ask for is always reported.
    if (!change('closed', { reason }) && by !== 'closed') fail(shared.closed);
    offAll();
  };
  const shared = {
    options,
    fail,
    now,
    random,
    usable,
    pauseAfter: (pauses) =>
      Math.max(LEAST_PAUSE_MS, random() * Math.min(capMs, baseMs * 2 ** pauses)),
    // Not while the page is hidden. The server itself delays the request while it sheds this connection.
    healer: () => (!isHidden && self.features.includes('history') ? usable() : undefined),
    isOwn: (member) => members.includes(member),
    granted() {
      times[4001] = 0;
      all.granted();
    },
    end,
  } as { -readonly [K in keyof Shared]: Shared[K] };
  const all = rooms(shared);
  shared.rooms = all;
  const outbox = publishes(shared);
  shared.outbox = outbox;
  const auth = tokens(shared);

  const start = async (): Promise<void> => {
    const mine = {};
    let isOpening = false;
    attempt = mine;
    clearTimeout(timer);
    attemptAt = now();
    beganHidden = isHidden;
    change('connecting');
    try {
      token = await auth.get(tokenReason);
      if (attempt !== mine) return;
      tokenReason = 'connect';
      isOpening = true;
      const socket = WebSocket(url);
      link = openLink({ now, welcomed, received, lost }, socket, options);
      unheard += 1;
    } catch (cause) {
      if (attempt !== mine) return;
      if (isOpening) end('bad_url', undefined, `${cause}`);
      else {
        unheard += 1;
        pause({ code: 'token_failed', message: `${cause}` }, 0, cause);
      }
    }
  };

  const welcomed = (of: OpenLink): void => {
    const { version, member, features, auth: use } = of.welcome;
    if (version !== 1) {
      end('protocol_version', undefined, `${version}`);
      return;
    }
    onlineAt = now();
    members = [member, ...members].slice(0, MEMBERS);
    // Send one of the two at once: the server expects a first frame even if no room is joined yet.
    const isOffered = features.includes('auth') && use !== 'off';
    if (token && isOffered) auth.present(of, token);
    else of.ask({ type: 'ping' });
    all.rejoin(of);
    outbox.pump();
    unheard = 0;
    change('online');
    if (!token || isOffered || wasToldNotOffered) return;
    wasToldNotOffered = true;
    fail(new RoomcastError('not_offered', { message: 'auth' }));
  };
  const received = (frame: Frame, size: number): void => {
    if (frame.type === 'health') emit('health', frame);
    else if (frame.type === 'broker') emit('broker', frame);
    else if (frame.type === 'expiring') auth.refresh('expiring');
    else if (frame.type === 'error')
      fail(new RoomcastError(frame.code, { message: frame.message }));
    else if ('room' in frame) all.received(frame, size);
  };

  const lost = (of: Link, code: number | string, message: string): void => {
    if (of !== link) return;
    const { welcome, isAnswered } = of;
    if (welcome && now() - onlineAt >= stableMs) {
      pauses = 0;
      times = { 4001: times[4001] as number };
    }
    const inRow = (times[code] ?? 0) + 1;
    times[code] = inRow;
    if (code === 4101 || code === 4102) pauses = 0;
    if (code === 4001) tokenReason = 'rejected';
    const { retryAfterMs } = of.closing ?? {};
    const [ms, isLeast] = waitAfter(code, retryAfterMs, inRow, isAnswered, random);
    const reason = { code, message };
    detach(code === 4009);
    if (ms === 1 / 0) end(code === 4001 ? 'unauthorised' : 'closed', code, message);
    else if (isLeast) pause(reason, ms);
    else wait(ms, reason);
  };

  const isAsleep = () => /^(idle|suspended)$/.test(state);
  /** Handles a lifecycle event of the page or the network. */
  const happened = (event: LifecycleEvent): void => {
    if (shared.closed) return;
    if (event === 'hidden') isHidden = true;
    else if (event === 'offline') link?.probe();
    else if (event === 'freeze') {
      if (isAsleep()) return;
      detach();
      change('suspended');
    } else {
      if (event === 'visible') isHidden = false;
      // An attempt begun in a hidden tab may hang; one begun under `AGAIN_MS` ago has had no time to.
      const isStuck = state === 'connecting' && beganHidden && !isHidden;
      const ms = Math.max(attemptAt + AGAIN_MS, notBefore) - now();
      if (state === 'suspended' && event !== 'online') start();
      else if (state === 'online') link?.probe();
      else if (ms <= 0 && isStuck) {
        detach();
        start();
      } else if (state === 'waiting' && now() + ms < dueAt) schedule(ms);
    }
  };
  const unwatch = lifecycle ? lifecycle.watch(happened) : undefined;

  const self: Client = {
    on,
    get state() {
      return state;
    },
    get member() {
      return link?.welcome?.member ?? null;
    },
    get features() {
      return link?.welcome?.features ?? [];
    },
    room: (name: string, about?: RoomOptions<never>) =>
      all.get(name, about as RoomOptions<unknown>) as unknown as Room<never>,
    open() {
      if (isAsleep()) start();
    },
    ping({ signal } = {}) {
      const of = usable();
      const at = now();
      let forget = (): unknown => undefined;
      const [promise, settle] = deferred<number>(shared, undefined, signal, () => forget());
      if (of) {
        forget = of.ask({ type: 'ping' }, (reply) =>
          settle(reply ? '' : 'connection_lost', now() - at),
        );
      } else settle('not_online');
      return promise;
    },
    close({ drainMs = 0 } = {}) {
      closing ??= new Promise((resolve) => {
        const over = () => {
          clearTimeout(limit);
          end('closed');
          resolve();
        };
        const limit = later(over, drainMs);
        if (drainMs) outbox.whenIdle(over);
        else over();
      });
      return closing;
    },
  };
  if (!options.lazy) start();
  return self;
}
