/** One member: control lane, batches, announced losses and health. */
import { describe, expect, it } from 'vitest';
import type { Config } from '../../src/options/config.js';
import type { Event } from '../../src/protocol/events.js';
import { BATCH_BYTES } from '../../src/room/outbox.js';
import type { FakeName, Received } from '../support/fake-transport.js';
import type { Peer } from '../support/peer.js';
import { startCore, type Virtual } from '../support/virtual.js';

/** A core with one peer that has joined these rooms. */
async function member(
  { name = 'websocket', rooms = ['a'] }: { name?: FakeName; rooms?: string[] },
  config: Partial<Config> = {},
) {
  const world = startCore({ config });
  const peer = world.core.connect(name);
  await ask(world, peer);
  for (const room of rooms) {
    peer.say({ type: 'join', room });
    await ask(world, peer);
  }
  peer.transport.events.length = 0;
  return { ...world, peer, publish: publishTo(world, peer) };
}

/** Waits until the peer has everything sent so far. */
async function ask(world: Virtual, { transport }: Peer): Promise<void> {
  await world.settle();
  transport.poll();
  await world.settle();
}

/** Publishes `data` one after another, with a flush each. */
const publishTo =
  ({ core, loop }: Virtual, _: Peer) =>
  (room: string, count = 1, data: unknown = 'x', key?: string) => {
    for (let n = 0; n < count; n += 1) {
      void core.hub.publish(null, room, JSON.stringify(data), { key });
      loop.run();
    }
  };

/** Events in short: `a1` a message, `a2-4 overflow` a gap, else the type. */
const short = (events: readonly Received[]): string[] =>
  events.map((event) => {
    if (event.type === 'message') return `${event.room}${event.seq}`;
    if (event.type === 'gap') return `${event.room}${event.from}-${event.to} ${event.reason}`;
    return event.type === 'health' ? event.state : event.type;
  });

const withoutHealth = (events: readonly Received[]) =>
  short(events.filter(({ type }) => type !== 'health'));

const health = ({ transport }: Peer) =>
  transport.events.filter((event): event is Event & { type: 'health' } => event.type === 'health');

const text = (bytes: number) => 'x'.repeat(bytes);

describe('batches', () => {
  it('go out at once while nothing is outstanding, and one at a time after that', async () => {
    const { peer, publish } = await member({});
    const { transport } = peer;
    publish('a', 3);
    expect(short(transport.events)).toEqual(['a1', 'a2', 'a3']);
    transport.stall();
    publish('a', 5);
    expect(transport.batches).toBe(2 + 4);
    expect(peer.member.queuedMessages).toBe(5);
    transport.complete();
    expect(short(transport.events)).toEqual(['a1', 'a2', 'a3', 'a4']);
    // The other four in one batch.
    transport.complete();
    expect(short(transport.events)).toHaveLength(8);
    expect(peer.member.outbox.isDrained).toBe(true);
  });

  it('are of 16 KiB, or of one message that is larger', async () => {
    const { peer, publish } = await member({});
    const { transport } = peer;
    transport.stall();
    publish('a', 1);
    publish('a', 20, text(3000));
    publish('a', 1, text(30_000));
    publish('a', 20, text(3000));
    const sizes: number[] = [];
    while (transport.outstanding !== null) {
      sizes.push(transport.outstanding.length);
      transport.complete();
    }
    expect(sizes).toHaveLength(1 + 4 + 1 + 4);
    expect(sizes.filter((size) => size > BATCH_BYTES)).toHaveLength(1);
  });

  it('are never empty, also behind a message larger than one', async () => {
    const { peer, publish } = await member({}, { queueMessages: 1 });
    const { transport } = peer;
    transport.stall();
    publish('a', 2);
    publish('a', 1, text(20_000));
    while (transport.outstanding !== null) transport.complete();
    expect(withoutHealth(transport.events)).toEqual(['a1', 'a2-2 overflow', 'a3']);
  });

  it('begin with control frames', async () => {
    const { peer, publish, settle } = await member({});
    const { transport } = peer;
    transport.stall();
    publish('a', 5);
    for (let n = 0; n < 3; n += 1) peer.say({ type: 'ping' });
    await settle();
    transport.complete();
    transport.complete();
    expect(short(transport.events)).toEqual([
      'a1',
      ...['pong', 'pong', 'pong'],
      ...['a2', 'a3', 'a4', 'a5'],
    ]);
  });

  it('take from the policy whose message has waited longest', async () => {
    const namespaces = { new: { policy: 'drop-newest' } } as const;
    const rooms = ['a', 'new:b'];
    const { peer, publish, pass } = await member({ rooms }, { namespaces });
    peer.transport.stall();
    for (const room of ['a', 'a', 'new:b', 'a', 'new:b']) {
      publish(room);
      await pass(1);
    }
    peer.transport.resume();
    expect(short(peer.transport.events)).toEqual(['a1', 'a2', 'new:b1', 'a3', 'new:b2']);
  });

  it('wait for a poll, and none is wasted', async () => {
    const { peer, publish } = await member({ name: 'xhr-polling' });
    const { transport } = peer;
    publish('a', 5);
    expect(transport.events).toEqual([]);
    transport.poll();
    expect(short(transport.events)).toEqual(['a1', 'a2', 'a3', 'a4', 'a5']);
    transport.poll();
    expect(transport.writable).toBe(true);
    publish('a');
    expect(transport.events).toHaveLength(6);
  });
});

describe('losses', () => {
  it('are announced before the next message, with their range and reason', async () => {
    const { peer, publish, core } = await member({}, { queueMessages: 3 });
    peer.transport.stall();
    publish('a', 8);
    expect(core.observer.droppedBy.reduce((a, b) => a + b)).toBe(4);
    peer.transport.resume();
    expect(withoutHealth(peer.transport.events)).toEqual([
      ...['a1', 'a2-5 overflow', 'a6', 'a7', 'a8'],
    ]);
  });

  it('of the newest are announced once the member has drained', async () => {
    const { peer, publish } = await member({}, { queueMessages: 3, policy: 'drop-newest' });
    peer.transport.stall();
    publish('a', 8);
    peer.transport.resume();
    const all = ['a1', 'a2', 'a3', 'a4', 'a5-8 overflow'];
    expect(withoutHealth(peer.transport.events)).toEqual(all);
    publish('a');
    expect(withoutHealth(peer.transport.events)).toEqual([...all, 'a9']);
  });

  it('to a newer message of the same key are conflated, to a full queue overflow', async () => {
    const { peer, publish } = await member({}, { queueMessages: 3, policy: 'latest-by-key' });
    peer.transport.stall();
    publish('a', 1);
    for (const key of ['k', 'l', 'k', 'm', 'l', 'n']) publish('a', 1, key, key);
    // 2 and 3 were replaced by 4 and 6; 4 was dropped for 7.
    peer.transport.resume();
    expect(withoutHealth(peer.transport.events)).toEqual([
      ...['a1', 'a2-4 overflow', 'a5', 'a6', 'a7'],
    ]);
    peer.transport.stall();
    publish('a', 1);
    for (const key of ['k', 'k', 'l', 'k']) publish('a', 1, key, key);
    peer.transport.resume();
    expect(withoutHealth(peer.transport.events).slice(5)).toEqual([
      ...['a8', 'a9-10 conflated', 'a11', 'a12'],
    ]);
  });

  it('of what can never fit cost nothing else', async () => {
    const config = { queueBytes: 4000, maxMessageBytes: 4000 };
    const { peer, publish } = await member({}, config);
    peer.transport.stall();
    publish('a', 2);
    publish('a', 1, text(3990));
    publish('a', 1);
    peer.transport.resume();
    expect(withoutHealth(peer.transport.events)).toEqual([...['a1', 'a2', 'a3-3 overflow', 'a4']]);
  });

  it('of several rooms are each announced in its own', async () => {
    const rooms = ['a', 'b', 'c'];
    const { peer, publish } = await member({ rooms }, { queueMessages: 2 });
    peer.transport.stall();
    publish('a', 2);
    publish('b', 2);
    publish('c', 2);
    peer.transport.resume();
    expect(withoutHealth(peer.transport.events).sort()).toEqual([
      ...['a1', 'a2-2 overflow', 'b1-2 overflow', 'c1', 'c2'],
    ]);
  });

  it('of the broker whose gap is dropped too are announced with the rest', async () => {
    const { peer, publish, core } = await member({}, { queueMessages: 1 });
    peer.transport.stall();
    publish('a', 1);
    core.broker.lose('a', 2);
    publish('a', 1);
    peer.transport.resume();
    expect(withoutHealth(peer.transport.events)).toEqual(['a1', 'a2-3 overflow', 'a4']);
  });

  it('of a leave include what was queued and what the next flush would have sent', async () => {
    const { peer, publish, core, settle } = await member({ rooms: ['a', 'b'] });
    peer.transport.stall();
    publish('a', 3);
    publish('b', 1);
    void core.hub.publish(null, 'a', '1');
    peer.say({ type: 'leave', room: 'a' });
    expect(core.observer.totals.abandoned).toBe(2);
    await settle();
    peer.transport.resume();
    expect(short(peer.transport.events)).toEqual(['a1', 'a2-4 left', 'left', 'b1']);
  });

  it('of a leave are not taken back by a join in the same turn', async () => {
    const { peer, core, settle, loop } = await member({});
    core.connect().say({ type: 'join', room: 'a' });
    await settle();
    void core.hub.publish(null, 'a', '1');
    peer.say({ type: 'leave', room: 'a' });
    peer.say({ type: 'join', room: 'a' });
    void core.hub.publish(null, 'a', '2');
    loop.run();
    expect(short(peer.transport.events)).toEqual(['a1-1 left', 'left', 'joined', 'a2']);
  });
});

describe('the stall timeout', () => {
  it('restarts when the member leaves the room of all untaken messages', async () => {
    const { core, peer, publish, pass } = await member(
      { name: 'xhr-polling' },
      { stallAfterMs: 1000 },
    );
    const isMember = () => core.hub.members.has(peer.member.id);
    publish('a', 3);
    await pass(800);
    peer.say({ type: 'leave', room: 'a' });
    await pass(800);
    expect(isMember()).toBe(true);
    await pass(400);
    expect(isMember()).toBe(false);
  });
});

describe('the control lane', () => {
  const bounds = { controlMessages: 16, controlBytes: 8192 };
  const error = () => ({ type: 'publish', room: 'not-mine', data: 1 }) as const;

  it('takes any burst from a peer that reads', async () => {
    const { peer, settle, core } = await member({}, bounds);
    for (let n = 0; n < 500; n += 1) peer.say(error());
    await settle();
    expect(peer.transport.events).toHaveLength(500);
    core.checkDrained();
  });

  it('evicts a peer that does not read, and sends nothing after the frame it refused', async () => {
    const { peer, publish, settle, core } = await member({}, bounds);
    peer.transport.stall();
    publish('a', 3);
    for (let n = 0; n < 30; n += 1) peer.say(error());
    for (let n = 0; n < 3; n += 1) peer.transport.complete();
    expect(core.hub.members.has(peer.member.id)).toBe(true);
    expect(core.observer.evictedBy.some((count) => count > 0)).toBe(false);
    await settle();
    expect(peer.transport.closed).toBe('control_overflow');
    expect(core.observer.evictedBy.reduce((a, b) => a + b)).toBe(1);
    expect(short(peer.transport.events)).toEqual(['a1']);
    expect(core.hub.memory.bytes).toBe(0);
    core.check();
  });

  it('counts bytes as well as frames', async () => {
    const { peer, publish, settle } = await member(
      {},
      { controlMessages: 1000, controlBytes: 8192 },
    );
    peer.transport.stall();
    publish('a', 1);
    for (let n = 0; n < 200; n += 1) peer.say(error());
    await settle();
    expect(peer.transport.closed).toBe('control_overflow');
  });
});

describe('health', () => {
  it('is sent when it changes, with the queue size and the time left', async () => {
    const { peer, publish, pass } = await member({}, { queueMessages: 4 });
    const { transport } = peer;
    transport.stall();
    publish('a', 2);
    await pass(240);
    expect(peer.member.health).toBe('healthy');
    await pass(60);
    expect(peer.member.health).toBe('lagging');
    publish('a', 4);
    expect(peer.member.health).toBe('shedding');
    transport.resume();
    await pass(500);
    expect(peer.member.health).toBe('shedding');
    await pass(600);
    expect(peer.member.health).toBe('healthy');
    const [lagging, shedding, healthy] = health(peer);
    expect(lagging).toMatchObject({ state: 'lagging', queued: { messages: 2 } });
    expect(shedding).toMatchObject({ state: 'shedding', queued: { messages: 5 } });
    expect(healthy).toEqual({
      type: 'health',
      state: 'healthy',
      queued: { messages: 0, bytes: 0 },
    });
    expect(lagging?.evictAfterMs).toBeGreaterThan(29_650);
    expect(lagging?.evictAfterMs).toBeLessThanOrEqual(29_750);
  });

  it('is checked only for members that are behind, not for drained and healthy ones', async () => {
    const { peer, publish, pass, core } = await member({});
    await pass(100);
    expect(core.hub.behind.size).toBe(0);
    peer.transport.stall();
    publish('a', 1);
    expect(core.hub.behind.size).toBe(1);
    peer.transport.resume();
    await pass(100);
    expect(core.hub.behind.size).toBe(0);
  });

  it('of a member between two polls is not lagging', async () => {
    const { peer, publish, pass } = await member({ name: 'xhr-polling' });
    publish('a', 3);
    await pass(2000);
    expect(peer.member.health).toBe('healthy');
  });

  it('uses the strictest thresholds of the joined namespaces', async () => {
    const namespaces = {
      quick: { lagAfterMs: 50, stallAfterMs: 500, recoverAfterMs: 100 },
      calm: { lagAfterMs: 5000, stallAfterMs: 60_000, recoverAfterMs: 9000 },
    };
    const { peer, publish, pass, settle } = await member(
      { rooms: ['calm:a', 'quick:a', 'calm:b'] },
      { namespaces },
    );
    const { transport } = peer;
    transport.stall();
    publish('calm:a', 1);
    await pass(100);
    expect(peer.member.health).toBe('lagging');
    transport.resume();
    await pass(5000);
    expect(peer.member.health).toBe('lagging');
    await pass(5000);
    expect(peer.member.health).toBe('healthy');
    peer.say({ type: 'leave', room: 'quick:a' });
    await settle();
    transport.stall();
    publish('calm:a', 1);
    await pass(4900);
    expect(peer.member.health).toBe('healthy');
    expect(transport.isOpen).toBe(true);
  });
});

describe('eviction', () => {
  it('happens after stallAfterMs without a byte taken, and not before', async () => {
    const { peer, publish, pass, core } = await member({}, { stallAfterMs: 2000 });
    peer.transport.stall();
    publish('a', 1);
    await pass(1990);
    expect(peer.transport.isOpen).toBe(true);
    await pass(70);
    expect(peer.transport.closed).toBe('slow_consumer');
    expect(core.observer.totals.abandoned).toBe(1);
  });

  it('does not affect a member that takes a little now and then', async () => {
    const { peer, publish, pass } = await member({}, { stallAfterMs: 2000 });
    peer.transport.stall();
    publish('a', 20, text(16_000));
    for (let n = 0; n < 10; n += 1) {
      await pass(1900);
      peer.transport.complete();
    }
    expect(peer.transport.isOpen).toBe(true);
  });

  it('ignores a stall that has ended', async () => {
    const config = { stallAfterMs: 2000, recoverAfterMs: 60_000 };
    const { peer, publish, pass } = await member({}, config);
    const stall = async (ms: number) => {
      peer.transport.stall();
      publish('a', 1);
      await pass(ms);
    };
    await stall(300);
    peer.transport.resume();
    await pass(10_000);
    expect(peer.member.health).toBe('lagging');
    await stall(1900);
    expect(peer.transport.isOpen).toBe(true);
    await pass(200);
    expect(peer.transport.closed).toBe('slow_consumer');
  });

  it('affects a member that does not poll, but not one that polls late', async () => {
    const { peer, publish, pass } = await member({ name: 'xhr-polling' }, { stallAfterMs: 2000 });
    for (let n = 0; n < 5; n += 1) {
      publish('a', 20, text(3000));
      await pass(1900);
      peer.transport.poll();
      expect(peer.transport.isOpen).toBe(true);
    }
    await pass(2100);
    expect(peer.transport.closed).toBe('slow_consumer');
  });

  it('under disconnect happens after the queue was full for the grace', async () => {
    const config = { policy: 'disconnect', disconnectGraceMs: 1000, queueMessages: 4 } as const;
    const { peer, publish, pass } = await member({}, config);
    peer.transport.stall();
    publish('a', 6);
    await pass(960);
    expect(peer.transport.isOpen).toBe(true);
    await pass(100);
    expect(peer.transport.closed).toBe('slow_consumer');
    expect(health(peer)).toEqual([]);
  });

  it('under disconnect without grace happens at once', async () => {
    const config = { policy: 'disconnect', disconnectGraceMs: 0, queueMessages: 4 } as const;
    const { peer, publish } = await member({}, config);
    peer.transport.stall();
    publish('a', 6);
    expect(peer.transport.closed).toBe('slow_consumer');
  });

  it('under disconnect does not affect a member that caught up, whatever another policy has queued', async () => {
    const namespaces = { cut: { policy: 'disconnect', disconnectGraceMs: 1000 } } as const;
    const rooms = ['a', 'cut:a'];
    const { peer, publish, pass } = await member({ rooms }, { namespaces, queueMessages: 4 });
    const { transport } = peer;
    transport.stall();
    publish('cut:a', 6);
    // The disconnect queue drains fully, while the other stays over half.
    await pass(100);
    publish('a', 4, text(16_000));
    transport.complete();
    for (let n = 0; n < 15; n += 1) {
      await pass(100);
      publish('a', 1, text(16_000));
    }
    expect(transport.isOpen).toBe(true);
    // Full again: the grace restarts.
    publish('cut:a', 5);
    await pass(500);
    expect(transport.isOpen).toBe(true);
    await pass(600);
    expect(transport.closed).toBe('slow_consumer');
  });
});
