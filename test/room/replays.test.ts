/** Replays to members that resume: at their own pace, encoded once, after live messages. */
import { describe, expect, it, vi } from 'vitest';
import type { Config } from '../../src/options/config.js';
import { BATCH_BYTES } from '../../src/room/outbox.js';
import type { FakeName, Received } from '../support/fake-transport.js';
import type { Peer } from '../support/peer.js';
import type { Answer } from '../support/scripted-broker.js';
import { startCore } from '../support/virtual.js';

const EPOCH = 'epoch of a';

/** A room whose broker keeps history, with one member. */
async function room(
  { keeps = 1000, answer = () => 'now' as Answer } = {},
  config: Partial<Config> = {},
) {
  const jobs: (() => void)[] = [];
  const broker = { answer, later: (_: string, job: () => void) => void jobs.push(job) };
  const world = startCore({ config, keeps, broker });
  const { core, loop, settle } = world;
  let published = 0;
  const join = (options: object = {}, name: FakeName = 'websocket') => {
    const peer = core.connect(name);
    peer.say({ type: 'join', room: 'a', ...options });
    return peer;
  };
  join();
  await settle();
  return {
    ...world,
    jobs,
    join,
    async joined(options: object, name?: FakeName) {
      const peer = join(options, name);
      await settle();
      return peer;
    },
    publish(count: number, bytes = 1) {
      for (let n = 0; n < count; n += 1) {
        published += 1;
        const data = JSON.stringify(`${published} ${'x'.repeat(bytes)}`);
        void core.hub.publish(null, 'a', data);
        loop.run();
      }
    },
  };
}

const since = (seq: number, epoch = EPOCH) => ({ since: { epoch, seq } });

const told = ({ transport: { events } }: Peer) =>
  events.flatMap((event: Received) => {
    if (event.type === 'message') return [`${event.seq}`];
    if (event.type === 'gap') return [`${event.from}-${event.to} ${event.reason}`];
    return event.type === 'reset' ? ['reset'] : [];
  });

const numbers = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => `${from + i}`);

const answerOf = ({ transport: { events } }: Peer) =>
  events.find((event): event is Received & { type: 'joined' } => event.type === 'joined')?.recover;

describe('a member that resumes', () => {
  it.each([0, 1000])(
    'gets what it missed after the reply, also when replies fill its lane (%i kept)',
    async (keeps) => {
      const { join, publish, settle, loop } = await room({ keeps }, { controlMessages: 16 });
      publish(3);
      const peer = join({}, 'websocket');
      await settle();
      peer.say({ type: 'leave', room: 'a' });
      loop.run();
      for (let n = 0; n < 16; n += 1) peer.say({ type: 'ping' });
      peer.say({ type: 'join', room: 'a', ...since(0) });
      await settle();
      const after = peer.transport.events.map(({ type }) => type).slice(-5);
      expect(after.slice(after.lastIndexOf('joined'))).toEqual(
        keeps === 0 ? ['joined', 'gap'] : ['joined', 'message', 'message', 'message'],
      );
    },
  );

  it('gets everything it missed, then live messages', async () => {
    const { core, joined, publish } = await room();
    publish(100);
    const peer = await joined(since(40));
    expect(answerOf(peer)).toEqual({ result: 'complete', from: 41, to: 100 });
    publish(3);
    expect(told(peer)).toEqual(numbers(41, 103));
    core.checkDrained();
  });

  it('gets an exact gap for what is no longer kept', async () => {
    const { core, joined, publish } = await room({ keeps: 10 });
    publish(100);
    const peer = await joined(since(40));
    expect(answerOf(peer)).toEqual({ result: 'partial', from: 41, to: 100 });
    expect(told(peer)).toEqual(['41-90 expired', ...numbers(91, 100)]);
    const { recoveredBy, replayedBy } = core.observer;
    expect([...recoveredBy]).toEqual([0, 1, 0, 0]);
    expect([...replayedBy]).toEqual([10, 50, 0, 0, 0, 0]);
    core.checkDrained();
  });

  it('gets the last few if it asks for them, without a gap for older ones', async () => {
    const { joined, publish } = await room({ keeps: 10 });
    expect(answerOf(await joined({ last: 3 }))).toEqual({ result: 'complete' });
    publish(30);
    const few = await joined({ last: 3 });
    expect(answerOf(few)).toEqual({ result: 'complete', from: 28, to: 30 });
    expect(told(few)).toEqual(numbers(28, 30));
    expect(told(await joined({ last: Number.MAX_SAFE_INTEGER }))).toEqual(numbers(21, 30));
  });

  it('holds one batch, whatever it missed, and continues at the pace of its socket', async () => {
    const { core, joined, publish } = await room();
    publish(100, 4000);
    const peer = core.connect();
    peer.transport.stall();
    const before = core.hub.memory.bytes;
    peer.say({ type: 'join', room: 'a', ...since(0) });
    publish(50, 4000);
    peer.transport.complete();
    peer.transport.complete();
    expect(core.hub.memory.bytes - before).toBeLessThan(2 * BATCH_BYTES);
    expect(peer.member.queuedMessages).toBe(0);
    peer.transport.resume();
    await joined({});
    expect(told(peer)).toEqual(numbers(1, 150));
    core.checkDrained();
  });

  it('shares pages, encoded once, with all other members', async () => {
    const { core, join, settle, publish } = await room();
    publish(100);
    for (let n = 0; n < 20; n += 1) join(since(n % 5), n % 2 === 0 ? 'websocket' : 'xhr-polling');
    await settle();
    for (let n = 0; n < 200; n += 1) {
      for (const { transport } of core.open) transport.poll();
      await settle();
    }
    for (const [n, peer] of core.peers.slice(1).entries()) {
      expect(told(peer)).toEqual(numbers((n % 5) + 1, 100));
    }
    // Every message was read once for all members, and so encoded once per format.
    expect(Math.max(...core.broker.reads.values())).toBe(1);
    core.checkDrained();
  });

  it('gets no turn before live members, and alternates with live messages at its own socket', async () => {
    const { core, loop, publish, settle } = await room();
    publish(64, 1000);
    const peer = core.connect();
    peer.say({ type: 'join', room: 'b' });
    await settle();
    peer.transport.stall();
    peer.say({ type: 'join', room: 'a', ...since(0) });
    await settle();
    for (let n = 0; n < 40; n += 1) {
      void core.hub.publish(null, 'b', JSON.stringify(`live ${n} ${'x'.repeat(2000)}`));
      loop.run();
    }
    const rooms: string[] = [];
    while (peer.transport.outstanding !== null) {
      const { length } = peer.transport.events;
      peer.transport.complete();
      loop.run();
      const read = peer.transport.events.slice(length);
      rooms.push([...new Set(read.flatMap((e) => (e.type === 'message' ? e.room : [])))].join());
    }
    expect(rooms.filter((each) => each !== '').slice(0, 6)).toEqual(['a', 'b', 'a', 'b', 'a', 'b']);
    core.checkDrained();
  });

  it('is live after --recover-max-ms, with a gap for what it misses', async () => {
    const { core, join, pass, publish } = await room({}, { recoverMaxMs: 1000 });
    publish(100, 4000);
    const peer = join(since(0));
    peer.transport.stall();
    for (let n = 0; n < 15; n += 1) {
      await pass(100);
      peer.transport.complete();
    }
    peer.transport.resume();
    publish(1);
    await pass(10);
    const [last, gap] = told(peer).reverse();
    expect([last, gap]).toEqual(['101', expect.stringMatching(/^\d+-100 overflow$/)]);
    core.checkDrained();
  });

  it('continues in a new epoch, and can leave in the middle of it', async () => {
    const { core, join, settle, publish } = await room();
    publish(100, 4000);
    const peer = join(since(0));
    const other = join(since(0));
    for (const { transport } of [peer, other]) transport.stall();
    await settle();
    core.broker.reset('a', 0);
    publish(5);
    other.say({ type: 'leave', room: 'a' });
    peer.transport.resume();
    other.transport.resume();
    await settle();
    expect(told(peer).slice(-7)).toEqual([
      expect.stringMatching(/^\d+-100 expired$/),
      'reset',
      ...numbers(1, 5),
    ]);
    expect(told(other).slice(-3)).toEqual([
      expect.stringMatching(/^\d+-100 left$/),
      'reset',
      '1-5 left',
    ]);
    expect(core.hub.replays.size).toBe(0);
    core.checkDrained();
  });

  it('catches up during a flush, which sends it nothing twice', async () => {
    const { core, loop, joined, join, publish } = await room();
    publish(10);
    // More members than a flush reaches in a turn at this duration of a write.
    for (let n = 1; n < 40; n += 1) await joined({});
    for (const { transport } of core.peers) {
      const write = transport.write.bind(transport);
      vi.spyOn(transport, 'write').mockImplementation((batch) => {
        loop.spend(1);
        return write(batch);
      });
    }
    void core.hub.publish(null, 'a', '"in the flush"');
    const back = join(since(5));
    loop.turn();
    expect(told(back)).toEqual(numbers(6, 11));
    expect(core.hub.replays.size).toBe(0);
    // It is live, and the flush has not reached it yet, nor the members before it.
    expect(told(core.peers[39] as Peer)).toEqual([]);
    loop.run();
    publish(1);
    for (const peer of core.peers.slice(1, 40)) expect(told(peer)).toEqual(['11', '12']);
    expect(told(back)).toEqual(numbers(6, 12));
    core.checkDrained();
  });

  it.each([
    ['since', since(2), ['3-5 expired', '6']],
    ['last', { last: 3 }, []],
  ] as const)(
    'and loses the history right while the broker is asked gets nothing of it (%s)',
    async (_, wanting, expected) => {
      let answer: Answer = 'now';
      const { core, jobs, join, publish, settle } = await room({ answer: () => answer });
      publish(5);
      answer = 'later';
      const peer = join(wanting);
      peer.mayRead = false;
      await settle();
      expect(jobs).toHaveLength(1);
      const { identity } = peer.member;
      core.hub.memberships.identify(peer.member, {
        ...identity,
        may: (action, name) => action !== 'history' && identity.may(action, name),
      });
      // What it is asked, and its answer.
      for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) {
        job();
        await settle();
      }
      answer = 'now';
      publish(1);
      await settle();
      expect(told(peer)).toEqual(expected);
      // As for a member that joined without the right.
      if (expected.length > 0) {
        expect(answerOf(peer)).toEqual({ result: 'partial', from: 3, to: 5 });
      } else {
        expect(peer.transport.events.at(-1)).toMatchObject({ type: 'error', code: 'not_allowed' });
      }
    },
  );

  it('catches up with a busy room while its broker answers asynchronously', async () => {
    let answers: Answer = 'now';
    const { core, join, jobs, settle, publish } = await room({ answer: () => answers });
    publish(50);
    answers = 'later';
    const peer = join(since(0));
    await settle();
    answers = 'now';
    for (let n = 0; n < 20; n += 1) {
      answers = 'later';
      jobs.shift()?.();
      await settle();
      answers = 'now';
    }
    publish(3);
    await settle();
    for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) {
      job();
      await settle();
    }
    expect(told(peer)).toEqual(numbers(1, 53));
    core.checkDrained();
  });

  it('is evicted when it takes nothing, and holds nothing afterwards', async () => {
    const { core, join, pass, publish } = await room({}, { stallAfterMs: 1000 });
    publish(100, 4000);
    const peer = join(since(0));
    peer.transport.stall();
    await pass(1500);
    expect(peer.transport.closed).toBe('slow_consumer');
    expect(core.hub.replays.size).toBe(0);
    expect(peer.member.queuedBytes).toBe(0);
    core.check();
  });
});
