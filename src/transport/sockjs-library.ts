/**
 * The only file that uses private parts of the library `sockjs`. The library provides the HTTP side of
 * the protocol: headers, the opening frame, the current response of a session, heartbeats, and the wait
 * for the next request. Its send buffer, which has no bound, is not used: `flushToRecv`, which it calls
 * whenever a response has opened, is replaced by a pull (V3).
 *
 * Not here: paths (`sockjs.ts`), a session (`sockjs-session.ts`).
 */
import { EventEmitter } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createRequire } from 'node:module';

/** One open response of a session. */
export interface Receiver {
  readonly response: Pick<ServerResponse, 'socket' | 'write' | 'writableLength'>;
  /** Bytes written to the response so far, without the opening bytes. */
  curr_response_size: number;
  /** Size at which the response ends: the limit of a stream, 1 for a poll. */
  readonly max_response_size: number;
  /** Whether the session waits for another response after this one; false once it is aborted. */
  readonly delay_disconnect: boolean;
  heartbeat(): void;
  /** Ends the response; the session waits for the next one. */
  didClose(): void;
  /** Ends the response and the session. */
  didAbort(): void;
}

/** A session of the library. */
export interface LibrarySession {
  /** Emits 'close' once, when the session is over. */
  readonly connection: EventEmitter;
  readonly recv?: Receiver | null;
  /**
   * Called with each response that opens; returns true if it wrote something that ended the response.
   */
  flushToRecv(receiver: Receiver): boolean;
  /** Sends the close frame to the open response or, until the session ends, to each later one. */
  close(code: number, reason: string): boolean;
  /** Called when the wait for the next response has timed out. */
  timeout_cb: () => void;
  /** Ends a session that has no response open. */
  didTimeout(): void;
}

/** The library with its options applied. */
export interface Library {
  handle(req: IncomingMessage, res: ServerResponse): void;
  find(sessionId: string): LibrarySession | null;
}

export interface LibraryOptions {
  readonly prefix: string;
  readonly heartbeatMs: number;
  readonly disconnectDelayMs: number;
  readonly responseLimitBytes: number;
  /** Base URL in `/info`; empty: none. */
  readonly baseUrl: string;
}

interface Server {
  listener(options: object): { getHandler(): (req: IncomingMessage, res: ServerResponse) => void };
}

interface Internals {
  readonly Session: {
    new (
      id: undefined,
      server: object,
    ): LibrarySession & { register(req: object, r: Receiver): void };
    bySessionId(id: string): LibrarySession | null;
  };
  readonly ResponseReceiver: new (req: object, res: object, options: object) => Receiver;
}

const require = createRequire(import.meta.url);

/** @throws Error if the installed library is not the release described here */
export function openLibrary(options: LibraryOptions): Library {
  const { createServer } = require('sockjs') as { createServer(options: object): Server };
  const internals = require('sockjs/lib/transport') as Internals;
  checkShape(internals);
  const server = createServer({
    prefix: options.prefix,
    heartbeat_delay: options.heartbeatMs,
    disconnect_delay: options.disconnectDelayMs,
    response_limit: options.responseLimitBytes,
    base_url: options.baseUrl,
    // Its log lines contain session ids, which are secrets.
    log: () => {},
    // The default is a third-party script; the page that would load it is not served.
    sockjs_url: '',
  });
  return { handle: server.listener({}).getHandler(), find: internals.Session.bySessionId };
}

/** Runs one session on a fake response and checks that each private part behaves as described above. */
export function checkShape({ Session, ResponseReceiver }: Internals): void {
  const written: unknown[] = [];
  const response = { write: (text: unknown) => written.push(text), end() {} };
  const missing: string[] = [];
  const expect = (what: string, holds: boolean) => holds || missing.push(what);
  try {
    const req = { connection: new EventEmitter(), headers: {} };
    const receiver = new ResponseReceiver(req, response, { response_limit: 100 });
    const delays = { heartbeat_delay: 1000, disconnect_delay: 1000 };
    const session = new Session(undefined, { options: delays, emit() {} });
    let pulled: unknown;
    session.flushToRecv = (opened) => {
      pulled = opened;
      return false;
    };
    let closed = false;
    session.connection.once('close', () => {
      closed = true;
    });
    session.register(req, receiver);
    expect('Session.register', written[0] === 'o');
    expect('Session.recv', session.recv === receiver);
    expect('Session.flushToRecv', pulled === receiver);
    expect('ResponseReceiver.response', receiver.response === (response as unknown));
    expect('ResponseReceiver.curr_response_size', receiver.curr_response_size === 1);
    expect('ResponseReceiver.max_response_size', receiver.max_response_size === 100);
    expect('ResponseReceiver.delay_disconnect', receiver.delay_disconnect);
    receiver.heartbeat();
    expect('ResponseReceiver.heartbeat', written[1] === 'h');
    receiver.didClose();
    expect('ResponseReceiver.didClose', session.recv === null && !closed);
    expect('Session.timeout_cb', typeof session.timeout_cb === 'function');
    session.close(3000, 'over');
    session.didTimeout();
    expect('Session.didTimeout', closed);
    expect('Session.bySessionId', Session.bySessionId('none') === null);
    expect('ResponseReceiver.didAbort', typeof receiver.didAbort === 'function');
  } catch (error) {
    missing.push(String(error));
  }
  if (missing.length === 0) return;
  throw new Error(
    `sockjs is not the release this server is made for (0.3.24): ${missing.join(', ')} is different`,
  );
}
