/**
 * What every target of the load generator has to keep: see src/load/targets/target.ts.
 * A file of tests per target calls it with a server of that kind.
 */
import { describe, expect, onTestFinished, test } from 'vitest';
import { dueOf, numberOf, publisherOf, Stamps } from '../../src/load/stamp.js';
import { openTarget, type TargetSpec } from '../../src/load/targets/index.js';
import type { Link, Sink, Target } from '../../src/load/targets/target.js';
import { Signal } from '../support/signal.js';

export interface TargetServer {
  readonly spec: TargetSpec;
  /** What the server wants room names to start with; `load:` if not given. */
  readonly prefix?: string;
  /** Whether who publishes gets its own message; true if not given. */
  readonly ownCopies?: boolean;
  /** Whether the answer to a join comes after all that the link sent before; if not given, where it numbers. */
  readonly answersJoins?: boolean;
  /** Ends every connection from the server's side. */
  kick(): Promise<void> | void;
}

interface Message {
  publisher: number;
  number: number;
  due: number;
  seq: number;
}

/** A sink that remembers what it heard. */
class Ear implements Sink {
  readonly changed: Signal;
  readonly messages: Message[] = [];
  readonly joins: [string, number][] = [];
  readonly lefts: string[] = [];
  readonly confirmations: [string, number][] = [];
  readonly refusals: string[] = [];
  readonly closes: string[] = [];
  opens = 0;
  bytes = 0;

  constructor(changed: Signal) {
    this.changed = changed;
  }

  chunk(bytes: number): void {
    this.bytes += bytes;
    this.changed.fire();
  }
  open(): void {
    this.opens++;
    this.changed.fire();
  }
  joined(room: string, seq: number): void {
    this.joins.push([room, seq]);
    this.changed.fire();
  }
  left(room: string): void {
    this.lefts.push(room);
    this.changed.fire();
  }
  message(buf: Uint8Array, at: number, seq: number): void {
    this.messages.push({
      publisher: publisherOf(buf, at),
      number: numberOf(buf, at),
      due: dueOf(buf, at),
      seq,
    });
    this.changed.fire();
  }
  gap(): void {}
  past(): void {}
  answered(): void {}
  refusedPast(): void {}
  confirmed(room: string, seq: number): void {
    this.confirmations.push([room, seq]);
    this.changed.fire();
  }
  refused(code: string): void {
    this.refusals.push(code);
    this.changed.fire();
  }
  closed(reason: string): void {
    this.closes.push(reason);
    this.changed.fire();
  }
}

/** The protocol is right. */
export const noFault = (fault: Error): never => {
  throw fault;
};

export function targetContract(name: string, start: () => Promise<TargetServer>): void {
  describe(`${name} as a target`, () => {
    const stamps = new Stamps('abcd');
    let room = '';

    async function setUp(): Promise<{ target: Target; server: TargetServer; changed: Signal }> {
      const server = await start();
      room = `${server.prefix ?? 'load:'}abcd-0000`;
      return {
        target: await openTarget(server.spec, stamps, noFault),
        server,
        changed: new Signal(),
      };
    }

    /** A link that has joined the room. */
    async function joinRoom(target: Target, changed: Signal): Promise<{ ear: Ear; link: Link }> {
      const ear = new Ear(changed);
      const link = target.dial(ear, { readSize: 65_536 });
      onTestFinished(() => link.reset());
      await changed.until(() => ear.opens === 1);
      link.join(room);
      await changed.until(() => ear.joins.length === 1);
      return { ear, link };
    }

    const send = (link: Link, number: number, size = 100, confirm = false): void =>
      link.publish(room, stamps.payload(size, 7, number, 1000 + number, 5), confirm);

    test('members get what is published, whole and in order', async () => {
      const { target, changed } = await setUp();
      const [a, b] = [await joinRoom(target, changed), await joinRoom(target, changed)];
      expect(a.ear.joins[0]?.[0]).toBe(room);
      const sizes = [34, 100, 5000, 34, 3000];
      sizes.forEach((size, number) => {
        send(a.link, number, size);
      });
      await changed.until(() => b.ear.messages.length === sizes.length);
      const base = b.ear.joins[0]![1];
      expect(b.ear.messages).toEqual(
        sizes.map((_, number) => ({
          publisher: 7,
          number,
          due: 1000 + number,
          seq: target.numbered ? base + number + 1 : -1,
        })),
      );
      expect(b.ear.bytes).toBeGreaterThan(sizes.reduce((sum, size) => sum + size, 0));
      expect(a.ear.refusals).toEqual([]);
    });

    test('a confirmed publish tells the number, where there are numbers', async () => {
      const { target, changed } = await setUp();
      const { ear, link } = await joinRoom(target, changed);
      if (!target.numbered) {
        expect(ear.joins[0]?.[1]).toBe(-1);
        return;
      }
      const base = ear.joins[0]![1];
      send(link, 0);
      send(link, 1, 100, true);
      await changed.until(() => ear.confirmations.length === 1);
      expect(ear.confirmations).toEqual([[room, base + 2]]);
    });

    test('who has left gets no more, where leaving is possible', async () => {
      const { target, server, changed } = await setUp();
      const [a, b] = [await joinRoom(target, changed), await joinRoom(target, changed)];
      const c = await joinRoom(target, changed);
      if (!a.link.leave(room)) return;
      await changed.until(() => a.ear.lefts.length === 1);
      expect(a.ear.lefts).toEqual([room]);
      a.link.join(`${room}-other`);
      await changed.until(() => a.ear.joins.length === 2);
      // Where joining is not answered, only what follows on that link comes after it.
      const speaker = (server.answersJoins ?? target.numbered) ? c.link : a.link;
      send(speaker, 0);
      await changed.until(() => b.ear.messages.length === 1);
      a.link.join(room);
      await changed.until(() => a.ear.joins.length === 3);
      send(speaker, 1);
      await changed.until(() => a.ear.messages.length > 0 && b.ear.messages.length === 2);
      expect(a.ear.messages.map(({ number }) => number)).toEqual([1]);
    });

    test('who does not read gets nothing until it reads again', async () => {
      const { target, server, changed } = await setUp();
      const [a, b] = [await joinRoom(target, changed), await joinRoom(target, changed)];
      const c = await joinRoom(target, changed);
      b.link.pause();
      send(a.link, 0);
      send(a.link, 1);
      await changed.until(() => c.ear.messages.length === 2);
      expect(a.ear.messages).toHaveLength((server.ownCopies ?? true) ? 2 : 0);
      expect(b.ear.messages).toEqual([]);
      b.link.resume();
      await changed.until(() => b.ear.messages.length === 2);
    });

    test('a link that is closed is closed once, and may be used without harm', async () => {
      const { target, changed } = await setUp();
      const { ear, link } = await joinRoom(target, changed);
      link.close();
      await changed.until(() => ear.closes.length > 0);
      link.close();
      link.pause();
      link.resume();
      link.probe();
      link.leave(room);
      send(link, 0);
      link.reset();
      expect(ear.closes).toHaveLength(1);
      expect(link.backlog).toBeTypeOf('number');
    });

    test('a connection ended by the server is told once', async () => {
      const { target, server, changed } = await setUp();
      const { ear } = await joinRoom(target, changed);
      await server.kick();
      await changed.until(() => ear.closes.length > 0);
      expect(ear.closes).toHaveLength(1);
      expect(ear.closes[0]).not.toBe('');
    });
  });
}
