/**
 * A TCP proxy inside the generator that simulates a distance between a cohort and the server: delay,
 * jitter and bandwidth, in both directions, order kept. Its buffers are bounded, so that a peer that
 * does not read closes the TCP window of the other side. Needs no root; cannot simulate packet loss.
 */
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { randomOf } from './assign.js';
import { resetSocket } from './wire/socket.js';
import type { Address } from './wire/wire.js';

/** Bytes that one direction buffers before it stops reading. */
const HELD_MAX = 64 * 1024;

export interface Distance {
  /** One way, in ms. */
  readonly delay: number;
  /** Largest deviation from the delay, uniformly distributed, in ms. */
  readonly jitter: number;
  /** Bytes a second; 0 for no limit. */
  readonly bandwidth: number;
  readonly seed: number;
}

export class DistanceProxy {
  readonly address: Address;
  readonly #server: Server;
  readonly #sockets: Set<Socket>;

  /** Listens on a free loopback port and forwards every connection to `to`. */
  static async open(to: Address, distance: Distance): Promise<DistanceProxy> {
    const sockets = new Set<Socket>();
    const random = randomOf(distance.seed);
    const server = createServer({ allowHalfOpen: false }, (near) => {
      const far = connect({ host: to.host, port: to.port, noDelay: true });
      near.setNoDelay(true);
      for (const [from, into] of [
        [near, far],
        [far, near],
      ] as const) {
        sockets.add(from);
        new Lane(from, into, distance, random);
        from.on('error', () => resetSocket(into));
        from.on('close', () => sockets.delete(from));
      }
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    return new DistanceProxy({ host: '127.0.0.1', port }, server, sockets);
  }

  private constructor(address: Address, server: Server, sockets: Set<Socket>) {
    this.address = address;
    this.#server = server;
    this.#sockets = sockets;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) resetSocket(socket);
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}

/** One direction of a connection: delays the bytes and keeps their order. */
class Lane {
  readonly #from: Socket;
  readonly #into: Socket;
  readonly #distance: Distance;
  readonly #random: () => number;
  readonly #held: { due: number; bytes: Buffer | null }[] = [];
  #heldBytes = 0;
  #lastDue = 0;
  #timer: NodeJS.Timeout | undefined;
  #blocked = false;

  constructor(from: Socket, into: Socket, distance: Distance, random: () => number) {
    this.#from = from;
    this.#into = into;
    this.#distance = distance;
    this.#random = random;
    from.on('data', (bytes: Buffer) => this.#hold(bytes)).on('end', () => this.#hold(null));
    into
      .on('drain', () => {
        this.#blocked = false;
        this.#release();
      })
      .on('close', () => clearTimeout(this.#timer));
  }

  #hold(bytes: Buffer | null): void {
    const { delay, jitter, bandwidth } = this.#distance;
    const now = performance.now();
    const late = Math.max(0, delay + jitter * (2 * this.#random() - 1));
    const transfer = bandwidth > 0 ? ((bytes?.length ?? 0) / bandwidth) * 1000 : 0;
    this.#lastDue = Math.max(now + late, this.#lastDue) + transfer;
    this.#held.push({ due: this.#lastDue, bytes });
    this.#heldBytes += bytes?.length ?? 0;
    if (this.#heldBytes >= HELD_MAX) this.#from.pause();
    if (this.#held.length === 1) this.#release();
  }

  #release(): void {
    clearTimeout(this.#timer);
    const now = performance.now();
    while (!this.#blocked && this.#held.length > 0 && this.#held[0]!.due <= now) {
      const { bytes } = this.#held.shift()!;
      if (bytes === null) {
        this.#into.end();
        return;
      }
      this.#heldBytes -= bytes.length;
      if (this.#into.writable && !this.#into.write(bytes)) this.#blocked = true;
    }
    if (this.#heldBytes < HELD_MAX) this.#from.resume();
    if (!this.#blocked && this.#held.length > 0) {
      this.#timer = setTimeout(() => this.#release(), this.#held[0]!.due - now);
    }
  }
}
