/**
 * A network between one node and its Redis, with faults: slow, narrow, disconnected, silent in one
 * direction or both, or losing one message. Each node has a proxy of its own.
 */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** `up`: from the node to Redis; `down`: back. */
export type Direction = 'up' | 'down';

/** Most bytes held that one end has sent and the other has not taken. */
const HELD_BYTES = 64 * 1024;
/** Interval at which a throttled direction passes data, in milliseconds. */
const STEP_MS = 20;

interface Faults {
  delayMs: number;
  /** Rate of the direction down: `Infinity` by default; 0 passes nothing and loses nothing. */
  bytesPerSecond: number;
  readonly silent: Set<Direction>;
}

export class FaultProxy {
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  readonly #faults: Faults = { delayMs: 0, bytesPerSecond: Infinity, silent: new Set() };
  #target: number;
  #isRefusing = false;

  private constructor(target: number) {
    this.#target = target;
    this.#server = createServer((near) => this.#accept(near));
  }

  /** Starts a proxy to a port of this machine. */
  static async start(target: number): Promise<FaultProxy> {
    const proxy = new FaultProxy(target);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** Connections made from now on go to another port. */
  retarget(port: number): void {
    this.#target = port;
  }

  /** Delays all data by this much, in each direction. */
  delay(ms: number): void {
    this.#faults.delayMs = ms;
  }

  /** Limits the rate of the direction down; 0 passes nothing, and loses nothing. */
  throttle(bytesPerSecond: number): void {
    this.#faults.bytesPerSecond = bytesPerSecond;
    for (const pair of this.#pairs) pair.pump();
  }

  /** Closes all connections. `refusing`: none is accepted until `heal`. */
  cut(refusing = false): void {
    this.#isRefusing = refusing;
    for (const pair of this.#pairs) pair.destroy();
  }

  /** Drops all data of a direction; neither end is told. */
  silence(...directions: Direction[]): void {
    for (const direction of directions) this.#faults.silent.add(direction);
  }

  /** Loses the next message of a channel whose name ends with `channel`. Resolves when it is lost. */
  loseOne(channel: string): Promise<void> {
    return Promise.race([...this.#pairs].map((pair) => pair.loseOne(channel)));
  }

  /** Restores the network. Connections that have lost bytes are closed, as their ends would notice. */
  heal(): void {
    const hasLost = this.#faults.silent.size > 0;
    this.#isRefusing = false;
    this.#faults.silent.clear();
    this.#faults.delayMs = 0;
    this.throttle(Infinity);
    if (hasLost) this.cut();
  }

  close(): void {
    this.#server.close();
    for (const pair of this.#pairs) pair.destroy();
  }

  #accept(near: Socket): void {
    if (this.#isRefusing) {
      near.destroy();
      return;
    }
    const pair = new Pair(near, connect(this.#target, '127.0.0.1'), this.#faults, () =>
      this.#pairs.delete(pair),
    );
    this.#pairs.add(pair);
  }
}

/** One connection. */
class Pair {
  readonly #near: Socket;
  readonly #far: Socket;
  readonly #replies = new Replies();
  readonly #ways: readonly [Way, Way];

  constructor(near: Socket, far: Socket, faults: Faults, ended: () => void) {
    this.#near = near;
    this.#far = far;
    this.#ways = [
      new Way(near, far, 'up', faults, (chunk) => chunk),
      new Way(far, near, 'down', faults, (chunk) => this.#replies.pass(chunk)),
    ];
    for (const socket of [near, far]) {
      // The `close` event follows and ends the other side.
      socket.on('error', () => {});
      socket.on('close', () => {
        this.destroy();
        ended();
      });
    }
  }

  pump(): void {
    for (const way of this.#ways) way.pump();
  }

  loseOne(channel: string): Promise<void> {
    return this.#replies.loseOne(channel);
  }

  destroy(): void {
    for (const way of this.#ways) way.end();
    this.#near.destroy();
    this.#far.destroy();
  }
}

/** One direction of a connection. */
class Way {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #direction: Direction;
  readonly #faults: Faults;
  #queue: { chunk: Buffer; readonly at: number }[] = [];
  #bytes = 0;
  #timer: NodeJS.Timeout | null = null;

  constructor(
    from: Socket,
    to: Socket,
    direction: Direction,
    faults: Faults,
    pass: (chunk: Buffer) => Buffer,
  ) {
    this.#from = from;
    this.#to = to;
    this.#direction = direction;
    this.#faults = faults;
    from.on('data', (whole: Buffer) => {
      if (faults.silent.has(direction)) return;
      const chunk = pass(whole);
      if (chunk.length === 0) return;
      this.#queue.push({ chunk, at: performance.now() + faults.delayMs });
      this.#bytes += chunk.length;
      if (this.#bytes > HELD_BYTES) from.pause();
      this.pump();
    });
  }

  pump(): void {
    if (this.#timer !== null) return;
    const perStep =
      this.#direction === 'down' ? (this.#faults.bytesPerSecond * STEP_MS) / 1000 : Infinity;
    let left = perStep;
    for (;;) {
      const [first] = this.#queue;
      if (first === undefined) break;
      const wait = first.at - performance.now();
      if (wait > 0 || left < 1) {
        if (perStep >= 1 || wait > 0) this.#again(Math.max(wait, left < 1 ? STEP_MS : 0));
        break;
      }
      const piece = first.chunk.subarray(0, left);
      first.chunk = first.chunk.subarray(piece.length);
      if (first.chunk.length === 0) this.#queue.shift();
      left -= piece.length;
      this.#bytes -= piece.length;
      this.#to.write(piece);
    }
    if (this.#bytes <= HELD_BYTES) this.#from.resume();
  }

  end(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#queue = [];
  }

  #again(ms: number): void {
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.pump();
    }, ms);
  }
}

/** Splits the stream into Redis replies while one of them is to be lost. */
class Replies {
  #rest = Buffer.alloc(0);
  #wanted: { readonly channel: string; readonly lost: () => void } | null = null;

  loseOne(channel: string): Promise<void> {
    return new Promise((lost) => {
      this.#wanted = { channel, lost };
    });
  }

  /** Returns the part to pass on; only whole replies while looking for one. */
  pass(chunk: Buffer): Buffer {
    if (this.#wanted === null && this.#rest.length === 0) return chunk;
    const bytes = Buffer.concat([this.#rest, chunk]);
    const kept: Buffer[] = [];
    let at = 0;
    for (;;) {
      const end = endOf(bytes, at);
      if (end === null) break;
      const reply = bytes.subarray(at, end);
      if (this.#isIt(reply)) {
        this.#wanted?.lost();
        this.#wanted = null;
      } else kept.push(reply);
      at = end;
    }
    this.#rest = bytes.subarray(at);
    return Buffer.concat(kept);
  }

  #isIt(reply: Buffer): boolean {
    if (this.#wanted === null) return false;
    const [, , kind, , channel] = reply.toString('latin1').split('\r\n', 5);
    return kind === 'message' && channel?.endsWith(this.#wanted.channel) === true;
  }
}

/** End of the reply that begins at `at` (RESP 2); null if incomplete. */
function endOf(bytes: Buffer, at: number): number | null {
  const line = bytes.indexOf('\r\n', at);
  if (line < 0) return null;
  const kind = String.fromCharCode(bytes[at] as number);
  const count = Number(bytes.toString('latin1', at + 1, line));
  const next = line + 2;
  if (kind === '$') {
    const end = count < 0 ? next : next + count + 2;
    return end > bytes.length ? null : end;
  }
  if (kind !== '*') return next;
  let end: number | null = next;
  for (let n = 0; n < count && end !== null; n += 1) end = endOf(bytes, end);
  return end;
}
