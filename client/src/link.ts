/**
 * One connection: its socket, its deadlines, and which reply belongs to which command. It ends once,
 * and says nothing afterwards; no end waits for the socket's own `close`, which may never come.
 *
 * Deadlines are compared with the wall clock when their timers fire: one that fires late means that
 * the machine slept, and then the connection is probed instead of judged.
 *
 * Not here: what follows from an end (`client.ts`, `close-codes.ts`).
 */
import { CONNECT_MS, FAREWELL_MS, HEARTBEAT_MS, LATE_MS, PONG_MS, PROBE_MS } from './limits.js';
import type { Options, Socket, SocketFactory } from './types.js';
import { later, type Timer } from './wait.js';
import type { Closing, Command, Frame, Welcome } from './wire.js';

export const builtIn: SocketFactory = (url) => {
  const { WebSocket } = globalThis as unknown as { WebSocket: new (url: string) => Socket };
  return new WebSocket(url);
};

/** The reply; null when there will be none. */
type OnReply = (reply: Frame | null) => void;

export interface Link {
  readonly socket: Socket;
  welcome?: Welcome;
  closing?: Closing;
  /** Whether the server has answered a command. */
  isAnswered?: boolean;
  /** `command` as JSON text without an id. Returns what takes the wait for the reply back. */
  request(command: string, onReply?: OnReply): () => void;
  ask(command: Command, onReply?: OnReply): () => void;
  /** Makes sure that the server is there, soon. */
  probe(ms?: number): void;
  /** `isDead`: nobody is there to shake hands with. */
  end(isDead?: boolean): void;
}

/** Of servers before `features` too. */
type WelcomeOfAny = Omit<Welcome, 'features' | 'limits'> & Partial<Welcome>;

/** One on which the server has said its first word. */
export type OpenLink = Link & { readonly welcome: Welcome };

export interface LinkOwner {
  now(): number;
  /** The server's first word. */
  welcomed(link: OpenLink): void;
  /** What is no reply; `size` is that of its text. */
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
  /** What it is lost for when the timer fires; empty while it only looks. */
  let doom = '';
  let heartbeatMs = HEARTBEAT_MS;
  /** Whether a timer that fires late is believed to have slept: once, until something comes. */
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
    // A clock that was put back has heard nothing from the future.
    const leftMs = heartbeatMs - Math.max(0, now() - heardAt);
    if (doom && !(isLate && isTrusted)) lose(doom);
    else if (isLate || leftMs <= 0) {
      doom = '';
      // In a hidden tab all of them are late.
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
      // A socket of `ws` throws where nobody listens.
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
      // What no server of this protocol says, in whatever field: the app's listeners do not throw here.
      lose('bad_frame', `${cause}`);
    }
  };
  socket.onclose = ({ code, reason }: { code: number; reason: string }) => lose(code, reason);
  // Where a page's policy forbids the connection, Chromium tells nothing else.
  socket.onerror = () => lose(1006);
  arm(connectTimeoutMs, 'connect_timeout');
  return link;
}
