/** When a peer is pinged and what its pongs confirm, on a virtual clock. */
import type { Socket } from 'node:net';
import { beforeEach, describe, expect, test } from 'vitest';
import type { LoopClock } from '../../src/loop-clock.js';
import { Heartbeat } from '../../src/transport/heartbeat.js';
import type { KernelQueues } from '../../src/transport/kernel-queue.js';

let now: number;
let heartbeat: Heartbeat;

beforeEach(() => {
  now = 1000;
  const socket = {
    _handle: { bytesWritten: 0, writeQueueSize: 0 },
    bytesRead: 0,
    isPaused: () => false,
  } as unknown as Socket;
  const kernel = { ask() {}, stop() {} } as unknown as KernelQueues;
  heartbeat = new Heartbeat({ clock: { now: () => now } as LoopClock, kernel }, socket);
});

/** A total of `bytes` written and one message. */
const written = (bytes: number) => ({ bytes, messages: bytes / 1000 });
/** The pong to a ping: the same eight bytes. */
const pong = (ping: Buffer) => ping.toString('latin1', 2);

describe('a mark in the output', () => {
  test('is due at once for a peer that owes a pong, and after 2 s for one that answers', () => {
    expect(heartbeat.wantsMark).toBe(true);
    const ping = heartbeat.ping(written(1000));
    expect(heartbeat.wantsMark).toBe(true);
    heartbeat.ponged(pong(ping), 1000);
    now += 1999;
    expect(heartbeat.wantsMark).toBe(false);
    now += 1;
    expect(heartbeat.wantsMark).toBe(true);
  });

  test('is not due while 64 are in flight, so that the first of them still confirms', () => {
    const pings: Buffer[] = [];
    while (heartbeat.wantsMark) {
      pings.push(heartbeat.ping(written((pings.length + 1) * 1000)));
      if (pings.length > 64) break;
    }
    expect(pings).toHaveLength(64);
    expect(heartbeat.confirmed).toEqual({ bytes: 0, messages: 0 });
    heartbeat.ponged(pong(pings[0] as Buffer), 64_000);
    expect(heartbeat.confirmed).toEqual({ bytes: 1000, messages: 1 });
    // A slot is free again.
    expect(heartbeat.wantsMark).toBe(true);
    heartbeat.ponged(pong(pings[63] as Buffer), 64_000);
    expect(heartbeat.confirmed).toEqual({ bytes: 64_000, messages: 64 });
  });
});

describe('a pong', () => {
  test('to no known ping confirms nothing, but shows that the peer is alive', () => {
    heartbeat.ping(written(1000));
    now += 500;
    expect(heartbeat.ponged('a guess!', 1000)).toBeNull();
    expect(heartbeat.confirmed.bytes).toBe(0);
    expect(heartbeat.progress.heardAt).toBe(now);
    expect(heartbeat.progress.takenAt).toBe(1000);
  });

  test('counts once', () => {
    const [first, second] = [heartbeat.ping(written(1000)), heartbeat.ping(written(2000))];
    heartbeat.ponged(pong(second), 2000);
    heartbeat.ponged(pong(first), 2000);
    expect(heartbeat.confirmed.bytes).toBe(2000);
  });
});

describe('a silent peer', () => {
  const patience = { intervalMs: 10_000, stallAfterMs: 4000 };
  /** The results of judging it every tenth of a second until then. */
  const judged = (until: number, bytes: number) => {
    const said: [at: number, verdict: string][] = [];
    while (now < until) {
      now += 100;
      const verdict = heartbeat.judge(now, bytes, patience);
      if (verdict === 'ping') heartbeat.ping(written(bytes));
      if (verdict !== null) said.push([now, verdict]);
      if (verdict === 'gone') break;
    }
    return said;
  };

  test('to which nothing was written is pinged after one interval and gone after another', () => {
    expect(judged(60_000, 0)).toEqual([
      [11_000, 'ping'],
      [21_000, 'gone'],
    ]);
  });

  test('to which much was written is pinged after a quarter of stallAfterMs and gone after all of it', () => {
    expect(judged(60_000, 1_000_000)).toEqual([
      [2100, 'ping'],
      [5100, 'gone'],
    ]);
  });

  test('is not gone once it has sent anything', () => {
    judged(2100, 1_000_000);
    now = 5000;
    heartbeat.heard();
    expect(judged(5900, 1_000_000)).toEqual([]);
  });
});
