/** Joins, leaves and publishes against a broker whose answers the test controls, and `close`. */
import { describe, expect, it, vi } from 'vitest';
import { Refusal } from '../../src/errors.js';
import type { Config } from '../../src/options/config.js';
import type { Core } from '../support/core.js';
import type { Message } from '../support/fake-transport.js';
import type { Loop } from '../support/loop.js';
import type { Peer } from '../support/peer.js';
import { type Answer, ScriptedBroker } from '../support/scripted-broker.js';
import { startCore } from '../support/virtual.js';

const TIMEOUT = 500;

let core: Core;
let loop: Loop;
/** Answers for the next broker calls; later ones are answered at once. */
let answers: Answer[];
/** Pending actions of the broker. */
let jobs: { what: string; run: () => void }[];

function start(config: Partial<Config> = {}): void {
  answers = [];
  jobs = [];
  ({ core, loop } = startCore({
    config: { brokerTimeoutMs: TIMEOUT, ...config },
    broker: {
      answer: () => answers.shift() ?? 'now',
      later: (what, run) => jobs.push({ what, run }),
    },
  }));
}

/** Lets promises settle. */
const settle = () => vi.advanceTimersByTimeAsync(0);

/** Runs the broker's next action. */
async function brokerDoes(what: string): Promise<void> {
  await settle();
  const job = jobs.shift();
  expect(job?.what).toBe(what);
  job?.run();
  await settle();
}

/** A join and its result so far. */
function joining(room = 'a', peer = core.connect()) {
  const state = { peer, outcome: 'waiting' };
  void (async () => core.hub.memberships.join(peer.member, room))().then(
    () => {
      state.outcome = 'joined';
    },
    (error: Refusal) => {
      state.outcome = error.code;
    },
  );
  return state;
}

const isLocked = (name: string) => {
  const guard = core.hub.rooms.get(name)?.lifecycle.tryWrite('test');
  guard?.release();
  return guard === null;
};

const refusal = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    if (error instanceof Refusal) return error.code;
    throw error;
  }
  return 'carried out';
};

const received = (peer: { transport: { events: readonly unknown[] } }) =>
  (peer.transport.events as Message[]).filter(({ type }) => type === 'message');

describe('joins and leaves', () => {
  it('asks the broker for the first join of a room only; later ones are synchronous', async () => {
    start();
    const subscribe = vi.spyOn(core.broker, 'subscribe');
    const first = joining();
    await settle();
    expect(first.outcome).toBe('joined');
    const joined = core.hub.memberships.join(core.connect().member, 'a');
    expect(joined).toEqual({ seq: 0, epoch: 'epoch of a', members: 2 });
    expect(subscribe).toHaveBeenCalledTimes(1);
  });

  it('lets concurrent joins wait for the one answer', async () => {
    start();
    answers = ['later'];
    const subscribe = vi.spyOn(core.broker, 'subscribe');
    const joins = [joining(), joining(), joining()];
    await brokerDoes('subscribe a');
    expect(joins.map(({ outcome }) => outcome)).toEqual(['waiting', 'waiting', 'waiting']);
    await brokerDoes('answer to subscribe a');
    expect(joins.map(({ outcome }) => outcome)).toEqual(['joined', 'joined', 'joined']);
    expect(subscribe).toHaveBeenCalledTimes(1);
    expect(core.hub.rooms.get('a')?.size).toBe(3);
    expect(isLocked('a')).toBe(false);
  });

  it('asks again for the next waiting join when the broker has refused', async () => {
    start();
    answers = ['reject', 'throw', 'now'];
    const joins = [joining(), joining(), joining()];
    await brokerDoes('subscribe a');
    expect(joins.map(({ outcome }) => outcome)).toEqual([
      'broker_unavailable',
      'broker_unavailable',
      'joined',
    ]);
    expect(isLocked('a')).toBe(false);
  });

  it('drops a room that no member could join', async () => {
    start();
    answers = ['reject'];
    const { outcome } = joining();
    expect(outcome).toBe('waiting');
    await brokerDoes('subscribe a');
    expect(core.hub.rooms.size).toBe(0);
  });

  it('times out a broker that hangs, and holds nothing afterwards', async () => {
    start();
    answers = ['never'];
    const subscribe = vi.spyOn(core.broker, 'subscribe');
    const join = joining();
    await vi.advanceTimersByTimeAsync(TIMEOUT - 1);
    expect(join.outcome).toBe('waiting');
    expect(subscribe.mock.calls[0]![1].aborted).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(join.outcome).toBe('broker_unavailable');
    expect(subscribe.mock.calls[0]![1].aborted).toBe(true);
    expect(core.hub.rooms.size).toBe(0);
    const again = joining();
    await settle();
    expect(again.outcome).toBe('joined');
  });

  it('lets no join wait longer than the timeout behind a broker that hangs', async () => {
    start();
    answers = ['never', 'never', 'never'];
    const joins = [joining(), joining(), joining()];
    await vi.advanceTimersByTimeAsync(2 * TIMEOUT);
    for (const { outcome } of joins) expect(outcome).toBe('broker_unavailable');
    expect(core.hub.rooms.size).toBe(0);
  });

  it('subscribes again for a join that races the last leave', async () => {
    start();
    const first = joining();
    await settle();
    answers = ['later', 'later'];
    core.hub.memberships.leave(first.peer.member, 'a');
    const second = joining();
    await brokerDoes('unsubscribe a');
    expect(second.outcome).toBe('waiting');
    await brokerDoes('answer to unsubscribe a');
    await brokerDoes('subscribe a');
    await brokerDoes('answer to subscribe a');
    expect(second.outcome).toBe('joined');
    expect(core.broker.topics.get('a')?.isSubscribed).toBe(true);
    expect(isLocked('a')).toBe(false);
  });

  it.each(['throw', 'reject', 'never'] as const)(
    'drops a room when unsubscribing fails: %s',
    async (answer) => {
      start();
      const first = joining();
      await settle();
      answers = [answer];
      core.hub.memberships.leave(first.peer.member, 'a');
      jobs[0]?.run();
      await vi.advanceTimersByTimeAsync(TIMEOUT);
      expect(core.hub.rooms.size).toBe(0);
      // Later deliveries reach no member.
      void core.broker.publish('a', { data: '1', from: null });
      const second = joining();
      await settle();
      expect(second.outcome).toBe('joined');
      expect(core.hub.rooms.get('a')?.seq).toBe(1);
    },
  );

  it('undoes a subscription whose member has disconnected meanwhile', async () => {
    start();
    answers = ['later'];
    const join = joining();
    await brokerDoes('subscribe a');
    join.peer.transport.break();
    await brokerDoes('answer to subscribe a');
    expect(join.outcome).toBe('shutting_down');
    expect(core.hub.rooms.size).toBe(0);
    expect(core.broker.topics.get('a')?.isSubscribed).toBe(false);
  });

  it('does not subscribe for a member that disconnected while it waited', async () => {
    start();
    answers = ['reject'];
    const subscribe = vi.spyOn(core.broker, 'subscribe');
    const [first, gone] = [joining(), joining()];
    gone.peer.transport.break();
    await brokerDoes('subscribe a');
    expect(first.outcome).toBe('broker_unavailable');
    expect(gone.outcome).toBe('shutting_down');
    expect(subscribe).toHaveBeenCalledTimes(1);
  });

  it('tracks the members of a room', async () => {
    start();
    const joins = [joining(), joining(), joining()];
    await settle();
    const members = () =>
      core.hub.rooms
        .get('a')
        ?.members()
        .map(({ member }) => member);
    const [first, second, third] = joins.map(({ peer }) => peer.member);
    expect(members()).toEqual([first, second, third]);
    core.hub.memberships.leave(first!, 'a');
    expect(members()).toEqual([third, second]);
    joins[2]!.peer.transport.break();
    expect(members()).toEqual([second]);
  });

  it('refuses what a member may not', async () => {
    start({ maxRoomsPerMember: 2 });
    const { member } = core.connect();
    for (const room of ['a', 'b']) await core.hub.memberships.join(member, room);
    expect(refusal(() => core.hub.memberships.join(member, 'a'))).toBe('already_joined');
    expect(refusal(() => core.hub.memberships.join(member, 'c'))).toBe('too_many_rooms');
    expect(refusal(() => core.hub.memberships.leave(member, 'c'))).toBe('not_joined');
    expect(refusal(() => core.hub.publish(member, 'c', '1'))).toBe('not_joined');
    core.hub.memberships.leave(member, 'b');
    await core.hub.memberships.join(member, 'c');
  });

  it('allows at most maxRooms rooms, and another once one is empty', async () => {
    start({ maxRooms: 2 });
    const [first, second] = [core.connect().member, core.connect().member];
    await core.hub.memberships.join(first, 'a');
    await core.hub.memberships.join(first, 'b');
    await core.hub.memberships.join(second, 'a');
    await expect(core.hub.memberships.join(second, 'c')).rejects.toMatchObject({
      code: 'no_more_rooms',
    });
    core.hub.memberships.leave(first, 'b');
    await settle();
    await core.hub.memberships.join(second, 'c');
    expect([...core.hub.rooms.keys()]).toEqual(['a', 'c']);
  });

  it('allows any number of rooms where the limit is 0', async () => {
    start({ maxRoomsPerMember: 0 });
    const { member } = core.connect();
    for (let n = 0; n < 200; n += 1) await core.hub.memberships.join(member, `r${n}`);
    expect(member.subscriptions.size).toBe(200);
  });
});

describe('publications', () => {
  const say = async (...rooms: string[]) => {
    const peer = core.connect();
    for (const room of rooms) peer.say({ type: 'join', room });
    await settle();
    loop.run();
    return peer;
  };

  it('that arrive before the subscription is confirmed precede every join', async () => {
    start();
    answers = ['later', 'now'];
    const peer = core.connect();
    peer.say({ type: 'join', room: 'a' });
    await brokerDoes('subscribe a');
    void core.broker.publish('a', { data: '"early"', from: null });
    await brokerDoes('answer to subscribe a');
    void core.hub.publish(null, 'a', '"late"');
    loop.run();
    expect(received(peer).map(({ seq, data }) => [seq, data])).toEqual([[2, 'late']]);
    core.checkDrained();
  });

  it('that the broker repeats, or sends out of order, are not passed on (V4)', async () => {
    const onDeliver = vi.spyOn(ScriptedBroker.prototype, 'onDeliver');
    start();
    const deliver = onDeliver.mock.calls[0]![0];
    onDeliver.mockRestore();
    const peer = await say('a');
    const payload = { room: 'a', epoch: 'epoch of a', at: Date.now(), from: null, data: '0' };
    for (const seq of [1, 2, 2, 1, 2]) {
      core.broker.published.set(ScriptedBroker.place('a', { ...payload, seq }), payload);
      deliver({ ...payload, seq });
    }
    core.broker.topics.get('a')!.delivered = { epoch: 'epoch of a', seq: 2 };
    loop.run();
    expect(received(peer).map(({ seq }) => seq)).toEqual([1, 2]);
  });

  it('that the broker has lost become a gap before the next', async () => {
    start();
    const peer = await say('a');
    core.broker.lose('a', 3);
    void core.hub.publish(null, 'a', '4');
    loop.run();
    const [gap, message] = peer.transport.events.slice(-2);
    expect(gap).toEqual({ type: 'gap', room: 'a', from: 1, to: 3, count: 3, reason: 'broker' });
    expect(message).toMatchObject({ type: 'message', seq: 4 });
  });

  it('to a room without members get a sequence number and have no other effect', async () => {
    start();
    expect(core.hub.publish(null, 'a', '1')).toEqual({ seq: 1, epoch: 'epoch of a' });
    expect(core.observer.totals.published).toBe(0);
    expect(core.hub.rooms.size).toBe(0);
    const peer = await say('a');
    expect(peer.transport.events.at(-1)).toMatchObject({ type: 'joined', seq: 1 });
  });

  it('are refused if the broker fails or hangs', async () => {
    start();
    answers = ['throw', 'reject', 'never'];
    expect(refusal(() => core.hub.publish(null, 'a', '1'))).toBe('broker_unavailable');
    const outcomes = [1, 2].map(() =>
      (async () => core.hub.publish(null, 'a', '1'))().catch((error: Refusal) => error.code),
    );
    jobs[0]!.run();
    await vi.advanceTimersByTimeAsync(TIMEOUT);
    expect(await Promise.all(outcomes)).toEqual(['broker_unavailable', 'broker_uncertain']);
  });

  it('are refused while too much waits for fan-out, in one room or in all', async () => {
    start({ roomBacklogBytes: 3000, queueBytesTotal: 7000 });
    await say('a', 'b', 'c');
    const data = JSON.stringify('x'.repeat(1000));
    const fill = (room: string) => {
      for (let n = 0; ; n += 1) {
        if (refusal(() => core.hub.publish(null, room, data)) === 'room_busy') return n;
      }
    };
    expect(fill('a')).toBe(3);
    expect(fill('b')).toBe(3);
    expect(fill('c')).toBe(1);
    loop.run();
    expect(fill('a')).toBe(3);
  });

  it('are accepted in a room with an empty backlog, however much waits in the others', async () => {
    start({ roomBacklogBytes: 3000, queueBytesTotal: 7000 });
    const busy = Array.from({ length: 6 }, (_, n) => `busy${n}`);
    const quiet = Array.from({ length: 20 }, (_, n) => `quiet${n}`);
    await say(...busy, ...quiet);
    const data = JSON.stringify('x'.repeat(1000));
    const isTaken = (room: string) =>
      refusal(() => core.hub.publish(null, room, data)) !== 'room_busy';
    for (let n = 0; n < 10; n += 1) for (const room of busy) isTaken(room);
    expect(isTaken('quiet0')).toBe(true);
    // Still bounded, by twice the limit plus one message.
    const taken = quiet.slice(1).filter(isTaken).length;
    expect(taken).toBeGreaterThan(2);
    expect(taken).toBeLessThan(12);
    loop.run();
    expect(isTaken('busy0')).toBe(true);
  });

  it('are counted in bytes of UTF-8, not in characters', async () => {
    start({ roomBacklogBytes: 3000 });
    await say('a');
    const data = JSON.stringify('語'.repeat(333));
    let taken = 0;
    while (refusal(() => core.hub.publish(null, 'a', data)) !== 'room_busy') taken += 1;
    expect(taken).toBe(3);
  });

  it('with the same key in two rooms do not replace one another', async () => {
    start({ namespaces: { key: { policy: 'latest-by-key' } }, roomNamePattern: '[^]*' });
    const rooms = ['key:a', 'key:a\0', 'key:a1'];
    const peer = await say(...rooms);
    peer.transport.stall();
    void core.hub.publish(null, 'key:a', '"outstanding"');
    loop.run();
    for (const [room, key] of [
      ['key:a', '\0k'],
      ['key:a\0', 'k'],
      ['key:a', '1k'],
      ['key:a1', 'k'],
      ['key:a1', '__proto__'],
    ] as const) {
      void core.hub.publish(null, room, JSON.stringify(key), { key });
    }
    loop.run();
    peer.transport.resume();
    expect(received(peer)).toHaveLength(6);
    core.checkDrained();
  });
});

describe('memory pressure', () => {
  it('evicts the longest stalled members until memory suffices, and none that reads', async () => {
    start({ queueBytesTotal: 55_000 });
    const peers = [];
    for (const room of ['a', 'b', 'c', 'd']) {
      const peer = core.connect();
      peer.say({ type: 'join', room });
      peers.push(peer);
    }
    await settle();
    loop.run();
    const [longest, long, short, healthy] = peers as [Peer, Peer, Peer, Peer];
    const data = JSON.stringify('x'.repeat(10_000));
    for (const [peer, room] of [
      [longest, 'a'],
      [long, 'b'],
      [short, 'c'],
    ] as const) {
      peer.transport.stall();
      void core.hub.publish(null, room, data);
      loop.run();
      await vi.advanceTimersByTimeAsync(20);
    }
    for (const room of ['c', 'd']) void core.hub.publish(null, room, data);
    loop.run();
    expect(core.open).toHaveLength(4);
    for (const room of ['b', 'c', 'd', 'd', 'd']) void core.hub.publish(null, room, data);
    loop.run();
    expect(longest.transport.closed).toBe('memory_pressure');
    for (const { transport } of [long, short, healthy]) expect(transport.isOpen).toBe(true);
    expect(core.hub.memory.bytes).toBeLessThanOrEqual(55_000);
    core.check();
  });
});

describe('close', () => {
  it('ends a join that waits for the broker, and one that waits for the join', async () => {
    start();
    answers = ['never'];
    const joins = [joining(), joining()];
    const closed = core.hub.close(1000);
    await settle();
    expect(joins.map(({ outcome }) => outcome)).toEqual(['shutting_down', 'shutting_down']);
    expect(await closed).toEqual([]);
  });

  it('ends a last leave that waits for the broker', async () => {
    start();
    const { peer } = joining();
    await settle();
    answers = ['never'];
    core.hub.memberships.leave(peer.member, 'a');
    expect(await core.hub.close(1000)).toEqual([]);
  });

  it('stops a join that got its lock just before', async () => {
    start();
    const subscribe = vi.spyOn(core.broker, 'subscribe');
    const join = joining();
    const closed = core.hub.close(1000);
    await settle();
    expect(join.outcome).toBe('shutting_down');
    expect(subscribe).not.toHaveBeenCalled();
    expect(await closed).toEqual([]);
  });

  it('refuses every later call', async () => {
    start();
    const { member } = core.connect();
    await core.hub.close(0);
    expect(refusal(() => core.hub.memberships.join(member, 'a'))).toBe('shutting_down');
    expect(refusal(() => core.hub.publish(null, 'a', '1'))).toBe('shutting_down');
  });

  it('returns the names of tasks still pending at its deadline', async () => {
    start();
    vi.spyOn(core.broker, 'close').mockReturnValue(new Promise(() => {}) as never);
    const closed = core.hub.close(1000);
    let names: readonly string[] | null = null;
    void closed.then((value) => {
      names = value;
    });
    await vi.advanceTimersByTimeAsync(999);
    expect(names).toBeNull();
    await vi.advanceTimersByTimeAsync(1);
    expect(names).toEqual(['broker close']);
  });

  it('is not stopped by a broker that fails', async () => {
    start();
    const close = vi.spyOn(core.broker, 'close');
    close.mockImplementation(() => Promise.reject(new Error('no')) as never);
    expect(await core.hub.close(1000)).toEqual([]);
    close.mockImplementation(() => {
      throw new Error('no');
    });
    expect(await core.hub.close(1000)).toEqual([]);
  });
});
