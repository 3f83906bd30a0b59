/**
 * A real server for an app's tests, inside the test process: on a free port, silent, without draining,
 * and closed at once whatever is in progress. It is to rooms what miniredis is to Redis.
 */
import type { Position } from './broker/broker.js';
import { compose } from './compose.js';
import { type CloseReason, type EndReason, Refusal } from './errors.js';
import type { MemberInfo } from './info.js';
import { show } from './options/check.js';
import { type Config, checkConfig, defaults } from './options/config.js';
import { partsOf, type RoomcastOptions } from './parts.js';
import type { Action } from './room/identity.js';
import type { Roomcast } from './roomcast.js';
import { listen } from './serve.js';
import type {
  Accept,
  Framing,
  Transport,
  TransportName,
  TransportSink,
} from './transport/transport.js';

/** Claims of a test token. */
export interface TestToken {
  readonly user: string;
  /** Permissions: actions by room pattern, like `{ 'chat:*': ['join', 'publish'] }`. Default: none. */
  readonly rooms?: Readonly<Record<string, readonly Action[]>>;
  /** Lifetime in seconds. Default: 600; negative for an expired token. */
  readonly seconds?: number;
  /** Id of the token, by which it can be revoked. */
  readonly tokenId?: string;
  /** Included in the presence lists of rooms. */
  readonly info?: unknown;
}

export interface TestServer {
  /** For `new WebSocket(url)`. */
  readonly url: string;
  /** For `new SockJS(sockjsUrl)`. */
  readonly sockjsUrl: string;
  /** Base URL of the HTTP API. */
  readonly httpUrl: string;
  /** Publishes any JSON value to a room. @throws Refusal as a rejection. */
  publish(room: string, data: unknown, key?: string): Promise<Position>;
  /**
   * Creates a token that the server accepts, signed with the first `tokenSecret`.
   * @throws Refusal `not_enabled` as a rejection, if the server has no `tokenSecret`
   */
  token(token: TestToken): Promise<string>;
  /** Revokes a user or a token, as `Roomcast.revoke` does. @throws Refusal */
  revoke: Roomcast['revoke'];
  /** All connected members. */
  members(): MemberInfo[];
  /**
   * Stalls the member: frames for it queue up as if the client had stopped reading. Returns a function
   * that ends the stall.
   *
   * @throws Error when no member has this id
   */
  stall(memberId: string): () => void;
  /**
   * Breaks the connection of a member as a network failure does: its client gets no close frame.
   *
   * @throws Refusal `not_found` when no member has this id
   */
  cut(memberId: string): void;
  /** Closes the connection of a member, as `Roomcast.kick` does. @throws Refusal */
  kick: Roomcast['kick'];
  /**
   * Ends the server as a crash does and starts it again on the same port: every connection breaks and all
   * state is lost. Rooms begin a new epoch, as the reply to a join with `since` shows. Resolves once it
   * listens.
   *
   * @throws Refusal `not_enabled` as a rejection, if you passed a broker: it closes with the server
   */
  restart(): Promise<void>;
  /**
   * Expires the history of a room, as time does. The sequence numbers continue: a client that rejoins gets
   * a gap.
   *
   * @throws Refusal `not_enabled` as a rejection, if the room keeps no history
   */
  expireHistory(room: string): Promise<void>;
  /** Resolves when the server is closed completely; every call returns the same promise. */
  close(): Promise<void>;
}

/** Overrides of `defaults` that keep tests fast. */
const TEST_DEFAULTS: Config = {
  ...defaults,
  port: 0,
  lameDuckMs: 0,
  drainMs: 0,
  shutdownGraceMs: 0,
};

/**
 * Resolves once it listens. Options are those of `createRoomcast`; see `defaults`.
 *
 * @throws ConfigError as a rejection.
 */
export async function startTestServer(given: RoomcastOptions = {}): Promise<TestServer> {
  const { options, ...parts } = partsOf(given);
  const config = checkConfig(options, TEST_DEFAULTS);
  const valves = new Map<Transport, Valve>();
  const wrap =
    (accept: Accept): Accept =>
    (transport, handshake) => {
      const valve = new Valve(transport);
      valves.set(valve, valve);
      return valve.open(
        (own) => accept(own, handshake),
        () => valves.delete(valve),
      );
    };
  let composed = compose({ ...config, ...parts }, wrap);
  const { url: httpUrl } = await listen(composed);
  const port = Number(new URL(httpUrl).port);
  let closing: Promise<unknown> | null = null;

  const memberOf = (id: string): Transport => {
    const transport = composed.members.get(id)?.transport;
    if (transport !== undefined) return transport;
    throw new Refusal('not_found', `No member has the id ${show(id)}; members() lists them.`);
  };

  async function restart(): Promise<void> {
    for (const { transport } of [...composed.members.values()]) transport.reset('lost');
    await composed.roomcast.close();
    if (closing !== null) throw new Refusal('shutting_down', 'The server was closed meanwhile.');
    composed = compose({ ...config, ...parts, port }, wrap);
    await listen(composed);
  }

  return {
    url: `${httpUrl.replace('http', 'ws')}/ws`,
    sockjsUrl: `${httpUrl}/sockjs`,
    httpUrl,
    publish: (...message) => composed.roomcast.publish(...message),
    async token({ user, seconds = 600, ...others }) {
      const [secret] = config.tokenSecret;
      if (secret === undefined) {
        throw new Refusal(
          'not_enabled',
          'The server has no key to sign a token with: set tokenSecret, of 32 characters or more.',
        );
      }
      const { signToken } = await import('./auth/sign.js');
      const [audience] = config.tokenAudience;
      const [issuer] = config.tokenIssuer;
      return signToken(secret, { user, seconds, audience, issuer, ...others });
    },
    revoke: (revocation) => composed.roomcast.revoke(revocation),
    members: () => composed.roomcast.members(),
    stall(memberId) {
      return (valves.get(memberOf(memberId)) as Valve).shut();
    },
    kick: (...member) => composed.roomcast.kick(...member),
    cut: (memberId) => memberOf(memberId).reset('lost'),
    async restart() {
      if (parts.broker !== undefined) {
        throw new Refusal(
          'not_enabled',
          'The broker you passed closes with the server; start another server instead.',
        );
      }
      await restart();
    },
    async expireHistory(room) {
      await composed.archive.purge(room, Number.MAX_SAFE_INTEGER);
    },
    async close() {
      closing ??= composed.roomcast.close();
      await closing;
    },
  };
}

/** A transport that can be shut: it then accepts one batch and stalls, like a client that stops reading. */
class Valve implements Transport {
  readonly name: TransportName;
  readonly framing: Framing;
  readonly remoteAddress: string;
  readonly #inner: Transport;
  #sink: TransportSink | undefined;
  #isShut = false;
  /** The batch accepted while shut. */
  #held: { readonly batch: Buffer; readonly messages: number } | null = null;

  constructor(inner: Transport) {
    this.#inner = inner;
    this.name = inner.name;
    this.framing = inner.framing;
    this.remoteAddress = inner.remoteAddress;
  }

  /** While shut it takes one batch also between two polls: which one must not depend on the next poll. */
  get writable(): boolean {
    return this.#held === null && (this.#isShut || this.#inner.writable);
  }

  get progressAt(): number {
    // Bytes that the client reads now were written before the stall.
    return this.#held === null ? this.#inner.progressAt : Number.NEGATIVE_INFINITY;
  }

  get unconfirmedMessages(): number {
    return this.#inner.unconfirmedMessages + (this.#held?.messages ?? 0);
  }

  open(accept: Accept, ended: () => void): TransportSink {
    const sink = accept(this);
    this.#sink = sink;
    return {
      get stallAfterMs() {
        return sink.stallAfterMs;
      },
      received: (text, bytes) => sink.received(text, bytes),
      receivedBinary: () => sink.receivedBinary(),
      faulted: (reason) => sink.faulted(reason),
      left: () => sink.left(),
      completed: () => sink.completed(),
      ready: () => {
        if (this.#isShut || this.#held === null) sink.ready();
        else this.#pass();
      },
      roundTrip: (seconds) => sink.roundTrip(seconds),
      ended: (reason) => {
        this.#held = null;
        ended();
        sink.ended(reason);
      },
    };
  }

  shut(): () => void {
    this.#isShut = true;
    return () => {
      this.#isShut = false;
      this.#pass();
    };
  }

  /** Writes the held batch, or keeps it until the inner transport is writable. */
  #pass(): void {
    const held = this.#held;
    if (held === null || !this.#inner.writable) return;
    this.#held = null;
    if (this.#inner.write(held.batch, held.messages)) this.#sink?.completed();
  }

  write(batch: Buffer, messages: number): boolean {
    if (!this.#isShut) return this.#inner.write(batch, messages);
    this.#held = { batch, messages };
    return false;
  }

  close(reason: CloseReason, farewell: Buffer, graceMs: number, limitMs?: number): void {
    this.#held = null;
    this.#inner.close(reason, farewell, graceMs, limitMs);
  }

  holdInput(isHeld: boolean): void {
    this.#inner.holdInput?.(isHeld);
  }

  reset(reason: EndReason): void {
    this.#held = null;
    this.#inner.reset(reason);
  }
}
