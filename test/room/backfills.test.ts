/** `history` requests of members: paged, at the member's own pace, at lowest priority. */
import { describe, expect, it } from 'vitest';
import type { Past, Range } from '../../src/broker/broker.js';
import type { Config } from '../../src/options/config.js';
import { BATCH_BYTES } from '../../src/room/outbox.js';
import type { FakeName, Received } from '../support/fake-transport.js';
import type { Peer } from '../support/peer.js';
import type { Answer, BrokerScript, ScriptedBroker } from '../support/scripted-broker.js';
import { startCore } from '../support/virtual.js';

/** A member of a room whose broker keeps history. */
async function start({
  keeps = 1000,
  broker,
  config = {},
  name = 'websocket',
}: {
  keeps?: number;
  broker?: BrokerScript;
  config?: Partial<Config>;
  name?: FakeName;
} = {}) {
  const world = startCore({ config, keeps, ...(broker && { broker }) });
  const { core, loop, settle } = world;
  const peer = core.connect(name);
  peer.say({ type: 'join', room: 'a' });
  await settle();
  peer.transport.poll();
  let published = 0;
  return {
    ...world,
    peer,
    publish(count: number, bytes = 1, room = 'a') {
      for (let n = 0; n < count; n += 1) {
        published += 1;
        const data = JSON.stringify(`${published} ${'x'.repeat(bytes)}`);
        void core.hub.publish(null, room, data);
        loop.run();
        peer.transport.poll();
      }
    },
    ask(from: number, to: number, epoch?: string) {
      peer.say({ type: 'history', room: 'a', from, to, ...(epoch && { epoch }) });
    },
  };
}

type Told<Type> = Extract<Received, { type: Type }>;
const all = <Type extends Received['type']>({ transport }: Peer, type: Type) =>
  transport.events.filter((event): event is Told<Type> => event.type === type);
const pasts = (peer: Peer) =>
  all(peer, 'past').flatMap(({ messages }) => messages.map(({ seq }) => seq));
const answers = (peer: Peer) =>
  all(peer, 'history').map(({ from, to, count, missing, next }) => ({
    from,
    to,
    count,
    missing,
    ...(next !== undefined && { next }),
  }));
const errors = (peer: Peer) => all(peer, 'error').map(({ id, code }) => [id, code]);
const numbers = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => from + i);

describe('a history request', () => {
  it('returns pages with the messages as published, and then the reply', async () => {
    const { core, peer, publish, ask, settle } = await start();
    publish(57);
    ask(43, 57);
    await settle();
    expect(pasts(peer)).toEqual(numbers(43, 57));
    const [page] = all(peer, 'past');
    const { epoch } = all(peer, 'joined')[0] as Told<'joined'>;
    expect(page).toMatchObject({ id: 2, room: 'a', epoch });
    const { type, room, ...message } = all(peer, 'message')[42] as Told<'message'>;
    expect(page?.messages[0]).toEqual(message);
    expect(peer.transport.events.at(-1)).toEqual({
      type: 'history',
      id: 2,
      room: 'a',
      epoch,
      from: 43,
      to: 57,
      count: 15,
      missing: [],
    });
    core.checkDrained();
  });

  it.each([
    ['is no longer kept', 5, [1, 57], { from: 1, to: 57, count: 5, missing: [[1, 52]] }],
    ['all of it', 5, [1, 50], { from: 1, to: 50, count: 0, missing: [[1, 50]] }],
    ['reaches beyond the room', 1000, [50, 1e12], { from: 50, to: 57, count: 8, missing: [] }],
    ['lies beyond it', 1000, [58, 60], { from: 58, to: 57, count: 0, missing: [] }],
  ] as const)('says what of it is missing: %s', async (_, keeps, [from, to], answer) => {
    const { peer, publish, ask, settle } = await start({ keeps });
    publish(57);
    ask(from, to);
    await settle();
    expect(answers(peer)).toEqual([answer]);
    expect(pasts(peer)).toHaveLength(answer.count);
  });

  it.each([
    [{ last: 3 }, numbers(55, 57)],
    [{ last: 3, before: 43 }, numbers(40, 42)],
    [{ last: 3, before: 1000 }, numbers(55, 57)],
    [{ last: 3, before: 2 }, [1]],
    [{ last: 3, before: 1 }, []],
    [{ last: Number.MAX_SAFE_INTEGER }, numbers(48, 57)],
  ])('may be the last few: %o', async (wanted, expected) => {
    const { peer, publish, settle } = await start({ config: { maxHistoryMessages: 10 } });
    publish(57);
    peer.say({ type: 'history', room: 'a', ...wanted });
    await settle();
    expect(pasts(peer)).toEqual(expected);
    expect(answers(peer)).toMatchObject([{ count: expected.length, missing: [] }]);
  });

  it('is cut at maxHistoryMessages, and the reply says where to continue', async () => {
    const { peer, publish, ask, settle } = await start({
      keeps: 50,
      config: { maxHistoryMessages: 40 },
    });
    publish(100);
    ask(1, 100);
    await settle();
    expect(answers(peer)).toEqual([{ from: 1, to: 100, count: 40, missing: [[1, 50]], next: 91 }]);
    ask(91, 100);
    await settle();
    expect(pasts(peer)).toEqual(numbers(51, 100));
    expect(answers(peer)[1]).toEqual({ from: 91, to: 100, count: 10, missing: [] });
  });

  it('returns messages of the requested epoch only', async () => {
    const { core, peer, publish, ask, settle } = await start();
    publish(5);
    core.broker.reset('a', 0);
    publish(5);
    ask(2, 3, 'epoch of a');
    ask(2, 3, core.broker.at('a').epoch);
    await settle();
    expect(answers(peer)).toEqual([
      { from: 2, to: 3, count: 0, missing: [[2, 3]] },
      { from: 2, to: 3, count: 2, missing: [] },
    ]);
  });

  it.each(['websocket', 'sockjs-websocket', 'xhr-polling'] as const)(
    'returns pages of at most one batch over %s, whatever the encoded size',
    async (name) => {
      const { core, peer, publish, ask, settle } = await start({ name });
      // Each takes two bytes in plain JSON and four in SockJS.
      publish(20, 0);
      for (let n = 0; n < 20; n += 1) {
        void core.hub.publish(null, 'a', JSON.stringify('"'.repeat(1500)));
        await settle();
        peer.transport.poll();
      }
      ask(1, 40);
      for (let n = 0; n < 40; n += 1) {
        await settle();
        peer.transport.poll();
      }
      expect(pasts(peer)).toEqual(numbers(1, 40));
      expect(peer.transport.largestBatch).toBeLessThanOrEqual(BATCH_BYTES + 100);
      core.checkDrained();
    },
  );
});

describe('a member that requests history', () => {
  it('holds a cursor and one page, at the pace of its socket', async () => {
    const { core, peer, publish, ask, settle } = await start();
    publish(500, 4000);
    const before = core.hub.memory.bytes;
    peer.transport.stall();
    ask(1, 500);
    await settle();
    for (let n = 0; n < 5; n += 1) {
      peer.transport.complete();
      await settle();
      expect(core.hub.memory.bytes - before).toBeLessThan(2 * BATCH_BYTES);
      expect(peer.member.queuedMessages).toBe(0);
    }
    expect(pasts(peer)).toEqual(numbers(1, 20));
    peer.transport.resume();
    await settle();
    expect(pasts(peer)).toEqual(numbers(1, 500));
    core.checkDrained();
  });

  it('gets all live messages first', async () => {
    const { core, peer, publish, ask, settle } = await start();
    publish(100, 1000);
    peer.transport.stall();
    ask(1, 100);
    await settle();
    publish(60, 1000);
    const seen = peer.transport.events.length;
    peer.transport.complete();
    peer.transport.resume();
    await settle();
    const after = peer.transport.events.slice(seen).map(({ type }) => type);
    const [first, ...rest] = after;
    // The page in flight, the live messages published since, and the other pages.
    expect(first).toBe('past');
    expect(rest.slice(0, 60)).toEqual(Array(60).fill('message'));
    expect(new Set(rest.slice(60))).toEqual(new Set(['past', 'history']));
    core.checkDrained();
  });

  it('gets a page after at most eight other batches in a busy room', async () => {
    const { core, peer, publish, ask, settle } = await start({ name: 'xhr-polling' });
    publish(50, 1000);
    ask(1, 40);
    for (let polls = 0; all(peer, 'history').length === 0; polls += 1) {
      expect(polls).toBeLessThan(50);
      void core.hub.publish(null, 'a', '"live"');
      await settle();
      peer.transport.poll();
    }
    expect(pasts(peer)).toEqual(numbers(1, 40));
  });

  it('gets no page while it is shedding, and all of them afterwards', async () => {
    const { core, peer, publish, ask, pass, settle } = await start({
      config: { queueMessages: 10, recoverAfterMs: 1000 },
    });
    peer.transport.stall();
    publish(50);
    ask(1, 20);
    peer.transport.resume();
    await settle();
    expect(peer.health).toBe('shedding');
    await pass(500);
    // Live messages continue meanwhile.
    publish(3);
    expect(all(peer, 'message').at(-1)?.seq).toBe(53);
    expect(pasts(peer)).toEqual([]);
    await pass(1100);
    expect(peer.health).toBe('healthy');
    expect(pasts(peer)).toEqual(numbers(1, 20));
    core.checkDrained();
  });

  it('may have eight requests pending, which run one after another', async () => {
    const { core, peer, publish, ask, settle } = await start();
    publish(100);
    peer.transport.stall();
    for (let n = 1; n <= 10; n += 1) ask(n, n + 50);
    await settle();
    peer.transport.resume();
    await settle();
    expect(errors(peer)).toEqual([
      [10, 'history_busy'],
      [11, 'history_busy'],
    ]);
    expect(all(peer, 'history').map(({ id }) => id)).toEqual([2, 3, 4, 5, 6, 7, 8, 9]);
    const pages = all(peer, 'past').map(({ id }) => Number(id));
    expect(pages).toEqual(pages.toSorted((one, other) => one - other));
    ask(1, 2);
    await settle();
    expect(answers(peer)).toHaveLength(9);
    core.checkDrained();
  });

  it('is refused at once without the history right, however many requests wait', async () => {
    const { core, peer, publish, ask, settle } = await start();
    publish(100);
    peer.transport.stall();
    for (let n = 1; n <= 8; n += 1) ask(n, n + 50);
    await settle();
    const { identity } = peer.member;
    core.hub.memberships.identify(peer.member, {
      ...identity,
      may: (action, room) => action !== 'history' && identity.may(action, room),
    });
    ask(9, 59);
    await settle();
    peer.transport.resume();
    await settle();
    // Refused as not_allowed, not history_busy, and before the waiting requests are checked.
    expect(errors(peer)).toEqual([10, 2, 3, 4, 5, 6, 7, 8, 9].map((id) => [id, 'not_allowed']));
    // The kernel already had the first page.
    expect(all(peer, 'past')).toHaveLength(1);
    core.checkDrained();
  });

  it('gets a reply also without an id', async () => {
    const { peer, publish, settle } = await start();
    publish(3);
    peer.transport.say('{"type":"history","room":"a","last":1}');
    await settle();
    expect(peer.transport.events.slice(-2)).toMatchObject([
      { type: 'past', messages: [{ seq: 3 }] },
      { type: 'history', count: 1 },
    ]);
  });

  it('is limited to historyRate requests a second', async () => {
    const { peer, ask, settle, pass } = await start({ config: { historyRate: 2 } });
    for (const n of [1, 2, 3]) ask(n, n);
    await settle();
    expect(errors(peer)).toEqual([[4, 'rate_limited']]);
    await pass(1000);
    ask(1, 1);
    await settle();
    expect(answers(peer)).toHaveLength(3);
  });

  it('must have joined the room, have the right, and the room must keep history', async () => {
    const { core, peer, ask, settle } = await start({
      config: { namespaces: { none: { historyMessages: 0 } } },
    });
    peer.say({ type: 'history', room: 'b', last: 1 });
    peer.say({ type: 'join', room: 'none:a' });
    peer.say({ type: 'history', room: 'none:a', last: 1 });
    await settle();
    const { identity } = peer.member;
    core.hub.memberships.identify(peer.member, {
      ...identity,
      may: (action, room) => action !== 'history' && identity.may(action, room),
    });
    ask(1, 1);
    await settle();
    expect(errors(peer)).toEqual([
      [2, 'not_joined'],
      [4, 'not_enabled'],
      [5, 'not_allowed'],
    ]);
  });
});

describe('a member that reads a long answer', () => {
  /** A member reading the first of many pages, with another request waiting. */
  async function middle() {
    const world = await start();
    const { peer, publish, ask, settle } = world;
    publish(500, 4000);
    peer.transport.stall();
    ask(1, 500);
    ask(1, 3);
    await settle();
    peer.transport.complete();
    await settle();
    return world;
  }

  it('gets nothing more once it loses the history right (V15)', async () => {
    const { core, peer, settle } = await middle();
    const { identity } = peer.member;
    core.hub.memberships.identify(peer.member, {
      ...identity,
      may: (action, room) => action !== 'history' && identity.may(action, room),
    });
    peer.transport.resume();
    await settle();
    expect(pasts(peer)).toEqual(numbers(1, 8));
    expect(errors(peer)).toEqual([
      [2, 'not_allowed'],
      [3, 'not_allowed'],
    ]);
    core.checkDrained();
  });

  it('gets no more than was already in flight when it leaves the room', async () => {
    const { core, peer, settle } = await middle();
    peer.say({ type: 'leave', room: 'a' });
    peer.transport.resume();
    await settle();
    expect(pasts(peer)).toEqual(numbers(1, 8));
    expect(errors(peer)).toEqual([
      [2, 'not_joined'],
      [3, 'not_joined'],
    ]);
    core.checkDrained();
  });

  it('is told of a shutdown, which does not wait for the answer', async () => {
    const { core, peer, settle } = await middle();
    peer.session.announceClose(1000);
    peer.transport.resume();
    await settle();
    expect(all(peer, 'closing')).toHaveLength(1);
    expect(core.hub.backfills.size).toBe(0);
    expect(peer.member.outbox.isDrained).toBe(true);
  });

  it('holds nothing after its connection breaks', async () => {
    const { core, peer, settle } = await middle();
    peer.transport.break();
    await settle();
    expect(core.hub.backfills.size).toBe(0);
    core.checkEmpty();
  });

  it('is evicted like any slow member when it takes no more bytes', async () => {
    const { core, peer, pass } = await middle();
    await pass(core.config.stallAfterMs + 100);
    expect(peer.transport.closed).toBe('slow_consumer');
    core.checkEmpty();
  });

  it('gets the rest reported missing when the epoch changes', async () => {
    const { core, peer, publish, settle } = await middle();
    core.broker.reset('a', 0);
    publish(1);
    peer.transport.resume();
    await settle();
    expect(answers(peer)).toEqual([
      { from: 1, to: 500, count: 8, missing: [[9, 500]] },
      { from: 1, to: 3, count: 0, missing: [[1, 3]] },
    ]);
    core.checkDrained();
  });

  it('gets the rest reported missing when the room is purged', async () => {
    const { core, peer, settle } = await middle();
    await core.hub.archive.purge('a', 490);
    peer.transport.resume();
    await settle();
    expect(answers(peer)).toEqual([
      { from: 1, to: 500, count: 18, missing: [[9, 490]] },
      { from: 1, to: 3, count: 0, missing: [[1, 3]] },
    ]);
    core.checkDrained();
  });
});

describe('a broker', () => {
  it.each([
    ['that is slow', ['later'], 'answered'],
    ['that fails at once', ['throw'], 'broker_unavailable'],
    ['that fails later', ['reject'], 'broker_unavailable'],
    ['that never answers', ['never'], 'broker_unavailable'],
  ] as const)('%s', async (_, given, expected) => {
    let script: Answer = 'now';
    const later = (__: string, job: () => void) => setTimeout(job, 50);
    const { core, peer, publish, ask, pass } = await start({
      broker: { answer: () => script, later },
      config: { brokerTimeoutMs: 1000 },
    });
    publish(50);
    [script] = given;
    ask(1, 50);
    await pass(2000);
    script = 'now';
    const [answer] = answers(peer);
    if (expected === 'answered') expect(answer).toMatchObject({ count: 50, missing: [] });
    else expect(errors(peer)).toEqual([[2, expected]]);
    // The next request is served.
    ask(1, 3);
    await pass(100);
    expect(answers(peer).at(-1)).toEqual({ from: 1, to: 3, count: 3, missing: [] });
    core.checkDrained();
  });

  type Lie = (past: Past, range: Range, broker: ScriptedBroker) => unknown;
  const lies: [string, Lie, object][] = [
    [
      'with other rooms’ messages',
      ({ publications, ...past }) => ({
        ...past,
        publications: publications.map((each) => ({ ...each, room: 'b' })),
      }),
      { count: 0, missing: [[1, 50]] },
    ],
    [
      'with those of another epoch',
      (past) => ({ ...past, epoch: 'another' }),
      { count: 0, missing: [[1, 50]] },
    ],
    [
      'in the wrong order, and twice',
      ({ publications, ...past }) => ({
        ...past,
        publications: [...publications.toReversed(), ...publications],
      }),
      { count: 50, missing: [] },
    ],
    [
      'with holes',
      ({ publications, ...past }) => ({
        ...past,
        publications: publications.filter(({ seq }) => seq % 10 !== 0),
      }),
      { count: 45, missing: [10, 20, 30, 40, 50].map((seq) => [seq, seq]) },
    ],
    [
      'with what was not asked for',
      (past, _, broker) => ({
        ...past,
        publications: [...broker.published].map(([place, payload]) => ({
          ...payload,
          room: 'a',
          at: Date.now(),
          epoch: past.epoch,
          seq: Number(place.split(' ').at(-1)),
        })),
      }),
      { count: 50, missing: [] },
    ],
    [
      'with an oldest that is none',
      (past) => ({ ...past, oldest: Number.NaN, publications: [] }),
      { count: 0, missing: [[1, 50]] },
    ],
    ['with no position', () => ({}), { count: 0, missing: [[1, 50]] }],
    ['with nothing at all', () => null, { code: 'broker_unavailable' }],
  ];
  it.each(lies)('that answers wrongly, %s', async (_, lie, expected) => {
    const { core, peer, publish, ask, settle } = await start();
    publish(60);
    const { broker } = core;
    broker.lies = true;
    const honest = broker.history.bind(broker);
    broker.history = (...asked) =>
      lie(honest(...asked) as Past, asked[1], broker) as ReturnType<typeof honest>;
    ask(1, 50);
    await settle();
    const answer = [...answers(peer), ...all(peer, 'error')].at(-1);
    expect(answer).toMatchObject(expected);
    // A member that resumes gets nothing wrong either: its witness checks.
    const back = core.connect();
    back.say({ type: 'join', room: 'a', since: { epoch: 'epoch of a', seq: 1 } });
    await settle();
    expect(back.rooms.get('a')?.next ?? 61).toBe(61);
  });
});
