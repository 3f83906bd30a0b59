/**
 * A crowd in one room: members that read, and stop reading when they are told to. Each counts on its
 * own what reached it. For the demo, and for tests that hold what a server says against it.
 *
 * Not here: measuring (`roomcast load`).
 */
import { WebSocketWire } from '../load/wire/websocket.js';
import type { Wire } from '../load/wire/wire.js';

/** Enough of a frame to know it by. */
const HEAD_BYTES = 200;
/** How many members connect at the same time. */
const CONNECTING = 50;
const PUBLISH_EVERY_MS = 10;

export interface Member {
  /** Messages that came, and messages that the server said would not. */
  readonly received: number;
  readonly missed: number;
  /** How often the server told it that it is slow. */
  readonly toldSlow: number;
  /** Why the connection ended; undefined while it is open. */
  readonly ended: string | undefined;
}

class CountingMember implements Member {
  received = 0;
  missed = 0;
  toldSlow = 0;
  ended: string | undefined;
  readonly wire: Wire;
  #joined: (() => void) | undefined;
  #failed: ((error: Error) => void) | undefined;
  readonly joined = new Promise<void>((resolve, reject) => {
    this.#joined = resolve;
    this.#failed = reject;
  });

  constructor(url: URL, room: string) {
    const endpoint = {
      host: url.hostname,
      port: Number(url.port) || (url.protocol === 'https:' ? 443 : 80),
      tls: url.protocol === 'https:',
      path: '/ws',
      headers: {},
      readSize: 65_536,
    };
    this.wire = new WebSocketWire(endpoint, {
      open: () => this.send({ type: 'join', id: 1, room }),
      chunk() {},
      payload: (buf, start, end) =>
        this.#read(buf.toString('latin1', start, Math.min(end, start + HEAD_BYTES))),
      closed: (reason) => {
        this.ended = reason;
        this.#failed?.(new Error(`A member could not join ${room} at ${url.host}: ${reason}`));
      },
    });
  }

  send(command: object): void {
    this.wire.send(Buffer.from(JSON.stringify(command)));
  }

  #read(head: string): void {
    if (head.startsWith('{"type":"message"')) this.received += 1;
    else if (head.startsWith('{"type":"joined"')) this.#joined?.();
    else if (head.startsWith('{"type":"gap"'))
      this.missed += Number(/"count":(\d+)/.exec(head)?.[1]);
    else if (/^\{"type":"health","state":"(lagging|shedding)"/.test(head)) this.toldSlow += 1;
  }
}

export class Crowd {
  readonly #url: URL;
  readonly #room: string;
  readonly #members: CountingMember[] = [];
  #published = 0;
  #timer: NodeJS.Timeout | undefined;

  /** @param url of the server, such as `http://127.0.0.1:8080` */
  constructor(url: string, room: string) {
    this.#url = new URL(url);
    this.#room = room;
  }

  get members(): readonly Member[] {
    return this.#members;
  }

  /** Messages that its publisher has sent. */
  get published(): number {
    return this.#published;
  }

  /** Messages that reached members, and messages that members were told they would not get. */
  get received(): number {
    return this.#members.reduce((sum, { received }) => sum + received, 0);
  }
  get missed(): number {
    return this.#members.reduce((sum, { missed }) => sum + missed, 0);
  }

  /**
   * Resolves once `count` more members are in the room.
   *
   * @throws Error where one cannot connect or join
   */
  async join(count: number): Promise<void> {
    for (let left = count; left > 0; left -= CONNECTING) {
      const next = Array.from(
        { length: Math.min(CONNECTING, left) },
        () => new CountingMember(this.#url, this.#room),
      );
      this.#members.push(...next);
      await Promise.all(next.map(({ joined }) => joined));
    }
  }

  /** From now on the first member publishes `perSecond` messages of about `bytes`. */
  publish(perSecond: number, bytes: number): void {
    this.hush();
    const filling = 'x'.repeat(bytes);
    const started = performance.now();
    let sent = 0;
    this.#timer = setInterval(() => {
      const due = ((performance.now() - started) / 1e3) * perSecond;
      for (; sent < due; sent += 1) {
        this.#published += 1;
        const data = { text: `message ${this.#published}`, filling };
        this.#members[0]?.send({ type: 'publish', room: this.#room, data });
      }
    }, PUBLISH_EVERY_MS);
  }

  hush(): void {
    clearInterval(this.#timer);
  }

  /** The last `count` members stop reading: soon their receive windows are closed. */
  stall(count: number): void {
    for (const { wire } of this.#members.slice(-count)) wire.pause();
  }

  /** All read. */
  resume(): void {
    for (const { wire } of this.#members) wire.resume();
  }

  close(): void {
    this.hush();
    for (const { wire } of this.#members.splice(0)) wire.reset();
  }
}
