/**
 * Accepts WebSocket upgrades.
 *
 * Not here: choosing the upgrades for this server (`entrance.ts`), one connection (`websocket.ts`), the
 * heartbeat schedule (`beat.ts`).
 */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import type { RefusalCode } from '../errors.js';
import { Beat } from './beat.js';
import { type IntakeInput, MAX_FRAGMENTS } from './intake.js';
import type { Watch } from './progress.js';
import { ServerWebSocket } from './server-websocket.js';
import type { Accept } from './transport.js';
import { type Dialect, type Input, WebSocketTransport } from './websocket.js';
import { checkWs } from './ws-receiver.js';

/** Accepts upgrades that the entrance has routed here. */
export class WebSocketAcceptor {
  readonly #dialect: Dialect;
  readonly #server: WebSocketServer;
  readonly #input: Input;
  readonly #refused: (code: RefusalCode) => void;
  readonly #beat: Beat;
  readonly #watch: Watch;

  /**
   * `heartbeatMs`: 0 switches heartbeats off. `refused` is called for each invalid upgrade.
   *
   * @throws Error if the installed `ws` is not a supported release
   */
  constructor(
    dialect: Dialect,
    options: IntakeInput & {
      heartbeatMs: number;
      watch: Watch;
      refused: (code: RefusalCode) => void;
    },
  ) {
    const { turns, memory, maxFrameBytes, heartbeatMs, watch, refused } = options;
    checkWs();
    const gone = (transport: WebSocketTransport) => void this.#beat.delete(transport);
    this.#input = { turns, memory, maxFrameBytes, gone };
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
    this.#beat = new Beat(watch.clock, heartbeatMs);
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
      // Create no closure here that lives as long as the connection: it would keep the request in
      // memory.
      const transport = new WebSocketTransport(
        ws as ServerWebSocket,
        socket as Socket,
        this.#dialect,
        remoteAddress,
        this.#watch,
        accept,
        this.#input,
      );
      this.#beat.add(transport);
    });
    // `ws` has answered it with an error.
    if (!isUpgrade) this.#refused('bad_command');
  }

  /** Stops the heartbeat. Sessions close their connections themselves. */
  close(): void {
    this.#beat.close();
    this.#server.close();
  }
}
