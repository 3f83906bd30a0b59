/**
 * A room whose broker restarts, loses messages, cannot be reached, or excludes a member from a message.
 */
import { describe, expect, it, vi } from 'vitest';
import type { Config } from '../../src/options/config.js';
import type { Received } from '../support/fake-transport.js';
import type { Peer } from '../support/peer.js';
import { startCore } from '../support/virtual.js';

const EPOCH = 'epoch of a';

async function room(config: Partial<Config> = {}) {
  const world = startCore({ config });
  const { core, loop } = world;
  let published = 0;
  return {
    ...world,
    async join(options: object = {}) {
      const peer = core.connect();
      peer.say({ type: 'join', room: 'a', ...options });
      await world.settle();
      return peer;
    },
    publish(count = 1, extra: object = {}) {
      for (let n = 0; n < count; n += 1) {
        published += 1;
        void core.broker.publish('a', { data: `${published}`, from: null, ...extra });
        loop.run();
      }
    },
  };
}

const short = (event: Received): string => {
  if (event.type === 'message') return `${event.seq}`;
  if (event.type === 'gap') return `${event.from}-${event.to} ${event.reason}`;
  if (event.type !== 'reset') return event.type;
  const { epoch, seq, was } = event;
  return `${was.epoch} ${was.seq} → ${epoch} ${seq}`;
};

/** Events after the reply to the join. */
const told = ({ transport: { events } }: Peer) =>
  events
    .slice(events.findIndex(({ type }) => type === 'joined') + 1)
    .filter(({ type }) => type !== 'health')
    .map(short);

describe('a change of the epoch', () => {
  it('is announced before any message of the new one, whether or not the broker reports it', async () => {
    const { core, join, loop, publish } = await room();
    const peer = await join();
    publish(2);
    core.broker.reset('a', 0);
    loop.run();
    expect(told(peer)).toEqual(['1', '2', `${EPOCH} 2 → epoch 1 of a 0`]);
    publish(1);
    core.broker.reset('a', 40, false);
    publish(1);
    expect(told(peer).slice(3)).toEqual(['1', 'epoch 1 of a 1 → epoch 2 of a 40', '41']);
    core.checkDrained();
  });

  it('is never dropped: a slow member is told of each, with the gaps in between', async () => {
    const { core, join, loop, publish } = await room({ queueMessages: 2 });
    const peer = await join();
    peer.transport.stall();
    publish(5);
    core.broker.reset('a', 3);
    publish(5);
    core.broker.reset('a', 0);
    publish(5);
    loop.run();
    peer.transport.resume();
    expect(told(peer)).toEqual([
      '1',
      '2-5 overflow',
      `${EPOCH} 5 → epoch 1 of a 3`,
      '4-8 overflow',
      'epoch 1 of a 8 → epoch 2 of a 0',
      '1-3 overflow',
      '4',
      '5',
    ]);
    core.checkDrained();
  });

  it('is announced to a member that leaves after it', async () => {
    const { core, join, publish, settle } = await room();
    const peer = await join();
    peer.transport.stall();
    publish(3);
    core.broker.reset('a', 0);
    publish(2);
    peer.say({ type: 'leave', room: 'a' });
    await settle();
    peer.transport.resume();
    const gaps = ['2-3 left', `${EPOCH} 3 → epoch 1 of a 0`, '1-2 left'];
    expect(told(peer)).toEqual(['1', ...gaps, 'left']);
  });

  it('is not caused by a late message of the previous epoch', async () => {
    const { core, join, loop, publish } = await room();
    const peer = await join();
    publish(3);
    core.broker.reset('a', 0);
    core.broker.repeat('a');
    publish(1);
    loop.run();
    expect(told(peer)).toEqual(['1', '2', '3', `${EPOCH} 3 → epoch 1 of a 0`, '1']);
  });

  it('does not affect a join with a position of the new epoch', async () => {
    const { core, join, publish } = await room();
    await join();
    publish(3);
    core.broker.reset('a', 10);
    publish(2);
    const since = { epoch: 'epoch 1 of a', seq: 4 };
    const peer = await join({ since });
    expect(told(peer)).toEqual(['5-12 expired']);
    publish(1);
    expect(told(peer)).toEqual(['5-12 expired', '13']);
    const old = await join({ since: { epoch: EPOCH, seq: 2 } });
    expect(old.transport.events.at(-1)).toMatchObject({ recover: { result: 'epoch_changed' } });
    core.checkDrained();
  });
});

describe('a loss of the broker', () => {
  it('is announced also before a silence (V21)', async () => {
    const { core, join, loop, publish } = await room();
    const peer = await join();
    publish(1);
    core.broker.lose('a', 2);
    loop.run();
    expect(told(peer)).toEqual(['1']);
    core.broker.admit('a');
    loop.run();
    expect(told(peer)).toEqual(['1', '2-3 broker']);
    core.checkDrained();
  });
});

describe('a broker that cannot be reached', () => {
  it('is announced once per connection, however many rooms it has joined, and so is its return', async () => {
    const { core, settle } = await room();
    const peer = core.connect();
    for (const name of ['a', 'b', 'c']) peer.say({ type: 'join', room: name });
    await settle();
    core.broker.become('suspended');
    await settle();
    core.broker.become('down');
    await settle();
    core.broker.become('up');
    await settle();
    const states = peer.transport.events.filter(({ type }) => type === 'broker');
    expect(states).toEqual([
      { type: 'broker', state: 'suspended' },
      { type: 'broker', state: 'up' },
    ]);
  });

  it('is announced to a member that joins, before the reply, which is marked stale', async () => {
    const { core, join, settle } = await room();
    await join();
    core.broker.become('suspended');
    const peer = await join();
    expect(peer.transport.events.slice(-2)).toMatchObject([
      { type: 'broker', state: 'suspended' },
      { type: 'joined', stale: true },
    ]);
    core.broker.become('up');
    await settle();
    expect(peer.transport.events.at(-1)).toEqual({ type: 'broker', state: 'up' });
    expect((await join()).transport.events.at(-1)).not.toHaveProperty('stale');
  });

  it('is announced in slices of event loop turns', async () => {
    const { core, loop, settle } = await room();
    for (let n = 0; n < 20; n += 1) core.connect();
    await settle();
    const { tellBroker } = core.peers[0]!.member;
    const tell = vi.spyOn(Object.getPrototypeOf(core.peers[0]!.member), 'tellBroker');
    tell.mockImplementation(function (this: unknown, ...args) {
      loop.spend(1);
      return tellBroker.apply(this as never, args as never);
    });
    core.broker.become('suspended');
    loop.turn();
    expect(tell.mock.calls.length).toBeLessThanOrEqual(6);
    await settle();
    for (const { transport } of core.peers) {
      expect(transport.events.at(-1)).toEqual({ type: 'broker', state: 'suspended' });
    }
  });
});

describe('a message that excludes one member', () => {
  it('is no gap for it, whether it reads at once or later', async () => {
    const { core, join, loop, publish } = await room();
    const [left, other] = [await join(), await join()];
    const except = left.member.id;
    // A peer's witness does not know which messages exclude the peer.
    core.guard = () => {};
    publish(1);
    publish(1, { except });
    publish(1);
    expect(told(left)).toEqual(['1', '3']);
    left.transport.stall();
    publish(1);
    publish(1, { except });
    publish(1);
    publish(1, { except });
    loop.run();
    left.transport.resume();
    expect(told(left)).toEqual(['1', '3', '4', '6']);
    expect(left.member.outbox.isDrained).toBe(true);
    expect(told(other)).toEqual(['1', '2', '3', '4', '5', '6', '7']);
    core.check();
  });
});
