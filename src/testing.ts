/**
 * A real server for other people's tests, inside their process: on a free port, silent, with no
 * drain, and closed at once whatever is in flight. It is to rooms what miniredis is to Redis.
 */
import type { Position } from './broker/broker.js';
import type { CloseReason, EndReason } from './errors.js';
import type { MemberInfo } from './info.js';
import { type Config, checkConfig, defaults } from './options/config.js';
import { partsOf, type RoomcastOptions } from './parts.js';
import { compose } from './roomcast.js';
import { listen } from './serve.js';
import type {
  Accept,
  Framing,
  Transport,
  TransportName,
  TransportSink,
} from './transport/transport.js';

export interface TestServer {
  /** For `new WebSocket(url)`. */
  readonly url: string;
  /** For `new SockJS(sockjsUrl)`. */
  readonly sockjsUrl: string;
  /** Of the HTTP API, without a path. */
  readonly httpUrl: string;
  /** Publishes any JSON value to a room. @throws Refusal as a rejection. */
  publish(room: string, data: unknown, key?: string): Promise<Position>;
  /** Who is connected now. */
  members(): MemberInfo[];
  /**
   * From now on the member takes nothing: what is sent to it queues up as if its peer had stopped
   * reading. Returns what lets it read again.
   *
   * @throws Error when no member has this id
   */
  stall(memberId: string): () => void;
  /** Resolves when nothing of the server is left; every call returns the same promise. */
  close(): Promise<void>;
}

/** What differs from `defaults`, so that a test is quick. */
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
  const composed = compose({ ...config, ...parts }, wrap);
  const { url: httpUrl, roomcast } = await listen(composed);
  return {
    url: `${httpUrl.replace('http', 'ws')}/ws`,
    sockjsUrl: `${httpUrl}/sockjs`,
    httpUrl,
    publish: roomcast.publish,
    members: () => roomcast.members(),
    stall(memberId) {
      const transport = composed.members.get(memberId)?.transport;
      const valve = transport && valves.get(transport);
      if (valve !== undefined) return valve.shut();
      throw new Error(`no member has the id ${memberId}; members() lists them`);
    },
    async close() {
      await roomcast.close();
    },
  };
}

/** A transport that can be made to take one batch and then nothing, like a peer that stops reading. */
class Valve implements Transport {
  readonly name: TransportName;
  readonly framing: Framing;
  readonly remoteAddress: string;
  readonly #inner: Transport;
  #sink: TransportSink | undefined;
  #isShut = false;
  /** The batch that went nowhere. */
  #held: { readonly batch: Buffer; readonly messages: number } | null = null;

  constructor(inner: Transport) {
    this.#inner = inner;
    this.name = inner.name;
    this.framing = inner.framing;
    this.remoteAddress = inner.remoteAddress;
  }

  get writable(): boolean {
    return this.#held === null && this.#inner.writable;
  }

  get progressAt(): number {
    // What the peer takes meanwhile was written before.
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

  /** Lets go of the batch held back, or keeps it until the peer asks. */
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
