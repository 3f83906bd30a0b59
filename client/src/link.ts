/**
 * One connection: its socket, its deadlines, and the matching of replies to commands. It ends once and
 * calls nothing afterwards. It never waits for the socket's own `close` event, which may never come.
 *
 * When a timer fires, its deadline is compared with the wall clock. A late timer means that the machine
 * slept; the connection is then probed instead of dropped.
 *
 * Not here: the reaction to an end (`client.ts`, `close-codes.ts`).
 */
import { CONNECT_MS, FAREWELL_MS, HEARTBEAT_MS, LATE_MS, PONG_MS, PROBE_MS } from './limits.js';
import type { Options, Socket, SocketFactory } from './types.js';
import { later, type Timer } from './wait.js';
import type { Closing, Command, Frame, Welcome } from './wire.js';

export const builtIn: SocketFactory = (url) => {
  const { WebSocket } = globalThis as unknown as { WebSocket: new (url: string) => Socket };
  return new WebSocket(url);
};

/** Receives the reply, or null if the connection ended without one. */
type OnReply = (reply: Frame | null) => void;

export interface Link {
  readonly socket: Socket;
  welcome?: Welcome;
  closing?: Closing;
  /** Whether the server has answered a command. */
  isAnswered?: boolean;
  /** Sends `command`, JSON text without an id. Returns a function that cancels the wait for the reply. */
  request(command: string, onReply?: OnReply): () => void;
  ask(command: Command, onReply?: OnReply): () => void;
  /** Pings the server. The connection is lost if nothing arrives within `ms`. */
  probe(ms?: number): void;
  /** `isDead`: terminates without a close handshake where the socket can. */
  end(isDead?: boolean): void;
}

/** `features` and `limits` are missing from older servers. */
type WelcomeOfAny = Omit<Welcome, 'features' | 'limits'> & Partial<Welcome>;

/** A link that has received the server's `welcome`. */
export type OpenLink = Link & { readonly welcome: Welcome };

export interface LinkOwner {
  now(): number;
  /** Called with the server's first frame. */
  welcomed(link: OpenLink): void;
  /** Called with each frame that is not a reply. `size` is the length of its text. */
  received(frame: Frame, size: number): void;
  lost(link: Link, code: number | string, message: string): void;
}

export function openLink(
  { now, welcomed, received, lost }: LinkOwner,
  socket: Socket,
  { connectTimeoutMs = CONNECT_MS, pongTimeoutMs = PONG_MS }: Options,
): Link {
  const replies = new Map<unknown, OnReply | undefined>();
  let ids = 0;
  let heardAt = now();
  let timer: Timer | undefined;
  let dueAt = 0;
  /**
   * Reason with which the link is lost when the timer fires; empty if the timer only checks for silence.
   */
  let doom = '';
  let heartbeatMs = HEARTBEAT_MS;
  /** Whether a late timer is taken as a sign of sleep. True once, until the next frame arrives. */
  let isTrusted = false;

  const arm = (ms: number, forWhat = ''): void => {
    clearTimeout(timer);
    doom = forWhat;
    dueAt = now() + ms;
    timer = later(due, ms);
  };
  const lose = (code: number | string, message = ''): void => {
    link.end(true);
    lost(link, link.closing?.code ?? code, link.closing?.reason ?? message);
  };
  const due = (): void => {
    const isLate = now() - dueAt > LATE_MS;
    // If the clock was set back, `heardAt` lies in the future.
    const leftMs = heartbeatMs - Math.max(0, now() - heardAt);
    if (doom && !(isLate && isTrusted)) lose(doom);
    else if (isLate || leftMs <= 0) {
      doom = '';
      // In a hidden tab every timer is late.
      if (isLate) isTrusted = false;
      link.probe(isLate ? PROBE_MS : pongTimeoutMs);
    } else arm(leftMs);
  };

  const link: Link = {
    socket,
    request(command, onReply) {
      ids += 1;
      const id = ids;
      replies.set(id, onReply);
      socket.send(`{"id":${id},${command.slice(1)}`);
      return () => replies.delete(id);
    },
    ask: (command, onReply) => link.request(JSON.stringify(command), onReply),
    probe(ms = PROBE_MS) {
      if (!link.welcome || link.closing || (doom && dueAt <= now() + ms)) return;
      link.ask({ type: 'ping' });
      arm(ms, 'pong_timeout');
    },
    end(isDead) {
      clearTimeout(timer);
      socket.onmessage = socket.onclose = null;
      // A socket of `ws` throws if `error` has no listener.
      socket.onerror = () => {};
      if (isDead && socket.terminate) socket.terminate();
      else socket.close(1000);
      for (const onReply of replies.values()) onReply?.(null);
    },
  };
  const heard = (text: string) => {
    const frame = JSON.parse(text);
    const { type, id, from, to, seq } = frame;
    const isFirst = !link.welcome;
    const isOdd = isFirst
      ? !/^(welcome|closing)$/.test(type)
      : /^(joined|message|reset|gap)$/.test(type) &&
        !Number.isSafeInteger(type === 'gap' ? from + to : seq);
    if (!type || isOdd) return lose('bad_frame');
    heardAt = now();
    if (type === 'closing') link.closing = frame;
    isTrusted = !link.closing;
    if (!isTrusted) arm(FAREWELL_MS, 'connection_lost');
    else if (isFirst) {
      const welcome: Welcome = { features: [], limits: {}, ...(frame as WelcomeOfAny) };
      link.welcome = welcome;
      heartbeatMs = welcome.heartbeatMs || HEARTBEAT_MS;
      arm(heartbeatMs);
      return welcomed(link as OpenLink);
    } else if (doom) arm(heartbeatMs);
    if (id === undefined) return received(frame, text.length);
    link.isAnswered = true;
    const onReply = replies.get(id);
    if (type !== 'past') replies.delete(id);
    onReply?.(frame);
  };
  socket.onmessage = ({ data }: { data: unknown }) => {
    try {
      heard(String(data));
    } catch (cause) {
      // The frame does not follow the protocol. Listeners of the app do not throw here.
      lose('bad_frame', `${cause}`);
    }
  };
  socket.onclose = ({ code, reason }: { code: number; reason: string }) => lose(code, reason);
  // If the page's policy forbids the connection, Chromium fires only `error`.
  socket.onerror = () => lose(1006);
  arm(connectTimeoutMs, 'connect_timeout');
  return link;
}
