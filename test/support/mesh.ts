/**
 * A mesh of workers in one process: the brokers are those of a server, the links real unix sockets.
 * Each link goes through a relay of its own, which can disconnect it or hold its data, as if the worker
 * were dead or stalled.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Broker } from '../../src/broker/broker.js';
import { MeshBroker } from '../../src/broker/mesh/mesh.js';
import { slotOf } from '../../src/broker/mesh/slots.js';

export class TestMesh {
  readonly nodes: MeshBroker[] = [];
  readonly #paths: string[] = [];
  readonly #relays = new Set<Relay>();
  readonly #closing: (void | Promise<void>)[] = [];
  readonly #folder = mkdtempSync(join(tmpdir(), 'mesh-'));
  readonly #slots: number;
  readonly #inner: (slot: number) => Broker | Promise<Broker>;
  #count = 0;

  private constructor(slots: number, inner: (slot: number) => Broker | Promise<Broker>) {
    this.#slots = slots;
    this.#inner = inner;
  }

  /**
   * Resolves once all workers are connected. `inner`: makes the inner broker of a slot; resolves once
   * other workers may connect.
   */
  static async start(
    slots: number,
    inner: (slot: number) => Broker | Promise<Broker>,
  ): Promise<TestMesh> {
    const mesh = new TestMesh(slots, inner);
    for (let slot = 0; slot < slots; slot += 1) await mesh.replace(slot);
    while (mesh.nodes.some(({ missing }) => missing.length > 0)) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    return mesh;
  }

  /** Starts a new worker for a slot and announces it to all others; the previous one leaves. */
  async replace(slot: number): Promise<MeshBroker> {
    const node = new MeshBroker({
      slot,
      slots: this.#slots,
      inner: await this.#inner(slot),
      leaseMs: LEASE_MS,
    });
    const path = this.#path();
    await node.listen(path);
    const before = this.nodes[slot];
    this.nodes[slot] = node;
    this.#paths[slot] = path;
    for (const [at, other] of this.nodes.entries()) {
      if (at === slot) continue;
      other.moved(slot, await this.#relay(at, slot));
      node.moved(at, await this.#relay(slot, at));
    }
    if (before !== undefined) this.#closing.push(before.close());
    return node;
  }

  /** The worker of a slot dies in the middle of a frame, and nobody is told. */
  kill(slot: number): void {
    for (const relay of this.#relays) if (relay.ends.includes(slot)) relay.cut();
  }

  /** The worker of a slot stops reading until the returned function is called. */
  stall(slot: number): () => void {
    const held = [...this.#relays].filter(({ ends }) => ends.includes(slot));
    for (const relay of held) relay.hold(true);
    return () => {
      for (const relay of held) relay.hold(false);
    };
  }

  /** A relay of its own between two workers; returns its path. */
  way(from: number, to: number): Promise<string> {
    return this.#relay(from, to);
  }

  slotOf(room: string): number {
    return slotOf(room, this.#slots);
  }

  /** Resolves once everything sent before has arrived: a query follows it, there and back. */
  async settle(): Promise<void> {
    const far = { deadline: performance.now() + 10_000 };
    const ask = async (node: MeshBroker, slot: number) =>
      node.publish(roomOf(slot, this.#slots), { data: '0', from: null }, far);
    // A closed node refuses.
    await Promise.allSettled(
      this.nodes.flatMap((node) => this.nodes.map((_, slot) => ask(node, slot))),
    );
  }

  async close(): Promise<void> {
    await Promise.all([...this.#closing, ...this.nodes.map((node) => node.close())]);
    for (const relay of this.#relays) relay.cut();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #path(): string {
    this.#count += 1;
    return join(this.#folder, `${this.#count}`);
  }

  async #relay(from: number, to: number): Promise<string> {
    const relay = new Relay([from, to], this.#paths[to] as string);
    this.#relays.add(relay);
    const path = this.#path();
    await relay.listen(path);
    return path;
  }
}

/** Lease of a dead worker in tests. */
const LEASE_MS = 300;

/** Relays one link. */
class Relay {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #isHeld = false;

  constructor(
    readonly ends: readonly [number, number],
    to: string,
  ) {
    this.#server = createServer((near) => {
      const far = connect(to);
      for (const [socket, other] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#sockets.add(socket);
        socket.on('error', () => {});
        socket.on('close', () => other.destroy());
        socket.pipe(other);
      }
      if (this.#isHeld) this.hold(true);
    });
  }

  listen(path: string): Promise<void> {
    return new Promise((resolve) => void this.#server.listen(path, resolve));
  }

  hold(isHeld: boolean): void {
    this.#isHeld = isHeld;
    for (const socket of this.#sockets) {
      if (isHeld) socket.unpipe().pause();
    }
    if (isHeld) return;
    const [near, far] = this.#sockets;
    if (near === undefined || far === undefined) return;
    near.pipe(far);
    far.pipe(near);
  }

  cut(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}

/** The name of an unused room that the worker of this slot owns. */
export function roomOf(slot: number, slots: number, name = 'nobody'): string {
  for (let n = 0; ; n += 1) if (slotOf(`${name} ${n}`, slots) === slot) return `${name} ${n}`;
}
