/**
 * The upgrades that become WebSocket connections, and the heartbeat of those: who is looked at, and
 * pinged, when.
 *
 * Not here: which upgrades are for us (`entrance.ts`), one connection (`websocket.ts`).
 */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import type { RefusalCode } from '../errors.js';
import { survive } from '../survived.js';
import { clearInterval, nowMs, setImmediate, setInterval } from '../time.js';
import { MAX_FRAGMENTS } from './intake.js';
import type { Watch } from './progress.js';
import { ServerWebSocket } from './server-websocket.js';
import type { Accept } from './transport.js';
import { type Dialect, type Input, WebSocketTransport } from './websocket.js';
import { checkWs } from './ws-receiver.js';

/** How often every peer is looked at, at most. */
const BEAT_MS = 500;
/** Of one turn of the loop, in milliseconds: to look at peers, and ping them. */
const BEAT_SLICE_MS = 3;

/** Accepts upgrades that were already found to be for us. */
export class WebSocketAcceptor {
  readonly #dialect: Dialect;
  readonly #server: WebSocketServer;
  readonly #transports = new Set<WebSocketTransport>();
  readonly #input: Input;
  readonly #refused: (code: RefusalCode) => void;
  readonly #heartbeatMs: number;
  readonly #heartbeat: NodeJS.Timeout | undefined;
  /** Peers still to be looked at in this round; null between two. */
  #round: Iterator<WebSocketTransport> | null = null;
  readonly #watch: Watch;

  /**
   * `heartbeatMs`: 0 switches heartbeats off. `refused` is told of each upgrade that is none.
   *
   * @throws Error if the installed `ws` is not a release this is made for.
   */
  constructor(
    dialect: Dialect,
    options: Input & {
      heartbeatMs: number;
      watch: Watch;
      refused: (code: RefusalCode) => void;
    },
  ) {
    const { turns, memory, maxFrameBytes, heartbeatMs, watch, refused } = options;
    checkWs();
    this.#input = { turns, memory, maxFrameBytes };
    this.#dialect = dialect;
    this.#watch = watch;
    this.#refused = refused;
    this.#server = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: maxFrameBytes,
      maxFragments: MAX_FRAGMENTS,
      WebSocket: ServerWebSocket,
    });
    this.#heartbeatMs = heartbeatMs;
    if (heartbeatMs > 0) {
      this.#heartbeat = setInterval(
        () => this.#beat(),
        Math.min(BEAT_MS, Math.max(10, heartbeatMs / 10)),
      ).unref();
    }
  }

  upgrade(
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    remoteAddress: string,
    accept: Accept,
  ): void {
    let isUpgrade = false;
    this.#server.handleUpgrade(request, socket, head, (ws) => {
      isUpgrade = true;
      const transport = new WebSocketTransport(
        ws as ServerWebSocket,
        socket as Socket,
        this.#dialect,
        remoteAddress,
        this.#watch,
        accept,
        this.#input,
      );
      this.#transports.add(transport);
      ws.once('close', () => this.#transports.delete(transport));
    });
    // It was answered with what is wrong in it.
    if (!isUpgrade) this.#refused('bad_command');
  }

  /** Stops the heartbeat; connections are their sessions' to close. */
  close(): void {
    clearInterval(this.#heartbeat);
    this.#transports.clear();
    this.#server.close();
  }

  /** Begins a round, unless one is under way. */
  #beat(): void {
    if (this.#round !== null) return;
    this.#round = this.#transports.values();
    this.#goOn(this.#round);
  }

  /** Ten thousand pings would keep the loop for a third of a second: a turn has a few milliseconds of them. */
  #goOn(round: Iterator<WebSocketTransport>): void {
    const end = nowMs() + BEAT_SLICE_MS;
    while (this.#watch.clock.mayJudge) {
      const { done, value } = round.next();
      if (done) break;
      try {
        value.heartbeat(this.#heartbeatMs);
      } catch (error) {
        survive(error);
      }
      if (nowMs() < end) continue;
      setImmediate(() => this.#goOn(round));
      return;
    }
    this.#round = null;
  }
}
