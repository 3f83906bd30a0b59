/** Order of a connection's commands, and pipelined publishes. */
import fc from 'fast-check';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { Config } from '../../src/options/config.js';
import { nowMs } from '../../src/time.js';
import type { Received } from '../support/fake-transport.js';
import type { Peer } from '../support/peer.js';
import type { Answer, BrokerScript } from '../support/scripted-broker.js';
import { openCore, startCore } from '../support/virtual.js';

/** A core with a broker `ms` away, which fails when `answer` says so. */
const far = (ms: number, config: Partial<Config> = {}, answer: () => Answer = () => 'later') =>
  startCore({ broker: brokerAt(ms, answer), config });

/** A request takes half of that, and its answer the other half. */
function brokerAt(ms: number, answer: () => Answer): BrokerScript {
  return { answer, later: (_, job) => setTimeout(job, ms / 2) };
}

const events = ({ transport }: Peer) => transport.events;
const replies = (peer: Peer) => events(peer).filter((event) => 'id' in event);
const published = (peer: Peer) => events(peer).filter(({ type }) => type === 'published');
const data = (peer: Peer) =>
  events(peer).flatMap((event: Received) =>
    event.type === 'message' ? [event.data as string] : [],
  );

async function inRoom({ core, pass }: ReturnType<typeof far>): Promise<Peer> {
  const peer = core.connect();
  peer.say({ type: 'join', room: 'a' });
  await pass(100);
  return peer;
}

describe('with a broker 20 ms away', () => {
  it.each([10, 8192, 65_000])('a connection publishes 100 a second, of %i bytes', async (bytes) => {
    const world = far(20, { publishRate: 100 });
    const peer = await inRoom(world);
    const start = nowMs();
    for (let n = 0; n < 200; n += 1) {
      peer.say({ type: 'publish', room: 'a', data: `${n} ${'x'.repeat(bytes)}` });
      await world.pass(10);
    }
    await world.pass(20);
    expect(published(peer)).toHaveLength(200);
    expect(nowMs() - start).toBe(2020);
    expect(data(peer).map((text) => Number(text.split(' ')[0]))).toEqual([...Array(200).keys()]);
    world.core.checkDrained();
  });

  it('a second’s worth may come at once', async () => {
    const world = far(20, { publishRate: 100 });
    const peer = await inRoom(world);
    for (let n = 0; n < 100; n += 1) peer.say({ type: 'publish', room: 'a', data: n });
    await world.pass(40);
    expect(published(peer)).toHaveLength(100);
  });

  it('commands after a publish do not wait for it', async () => {
    const world = far(20);
    const peer = await inRoom(world);
    peer.say({ type: 'publish', room: 'a', data: 1 });
    peer.say({ type: 'ping' });
    peer.say({ type: 'leave', room: 'a' });
    peer.say({ type: 'publish', room: 'a', data: 2 });
    await world.pass(30);
    expect(replies(peer).slice(1)).toMatchObject([
      { type: 'pong', id: 3 },
      { type: 'left', id: 4 },
      { type: 'error', id: 5, code: 'not_joined' },
      { type: 'published', id: 2 },
    ]);
    expect([...world.core.broker.published.values()]).toMatchObject([{ data: '1' }]);
  });

  it('a waiting publish is refused once the right is lost (V15)', async () => {
    const world = far(20);
    const { core } = world;
    const peer = await inRoom(world);
    // Enough that some have to wait in the inbox.
    for (let n = 0; n < 100; n += 1) peer.say({ type: 'publish', room: 'a', data: n });
    const { identity } = peer.member;
    core.hub.memberships.identify(peer.member, {
      ...identity,
      may: (action, room) => action !== 'publish' && identity.may(action, room),
    });
    await world.pass(100);
    expect(published(peer)).toHaveLength(64);
    const refused = events(peer).filter(({ type }) => type === 'error');
    expect(refused).toHaveLength(36);
    for (const each of refused) expect(each).toMatchObject({ code: 'not_allowed' });
    expect(core.broker.at('a').seq).toBe(64);
  });

  it('each publish has its own deadline, and later commands continue', async () => {
    let answer: Answer = 'later';
    const world = far(20, { brokerTimeoutMs: 500 }, () => answer);
    const peer = await inRoom(world);
    answer = 'never';
    for (let n = 0; n < 64; n += 1) peer.say({ type: 'publish', room: 'a', data: n });
    answer = 'later';
    for (let n = 0; n < 10; n += 1) peer.say({ type: 'publish', room: 'a', data: n });
    await world.pass(490);
    expect(replies(peer)).toHaveLength(1);
    await world.pass(10);
    const uncertain = replies(peer).filter(({ type }) => type === 'error');
    expect(uncertain).toHaveLength(64);
    for (const each of uncertain) expect(each).toMatchObject({ code: 'broker_uncertain' });
    await world.pass(30);
    expect(published(peer)).toHaveLength(10);
  });

  it('a flood is queued up to the bound, then the connection is closed (V3)', async () => {
    const world = far(20, {}, () => 'later');
    const peer = await inRoom(world);
    const frame = { type: 'publish', room: 'a', data: 'x'.repeat(8000) } as const;
    let said = 0;
    for (; peer.transport.isOpen; said += 1) peer.say(frame);
    expect(peer.transport.closed).toBe('rate_limited');
    const bytes = JSON.stringify({ id: 10, ...frame }).length + 64;
    expect(said).toBe(Math.floor((256 * 1024) / bytes) + 1);
    await world.pass(100);
    // The broker still carries out what it was asked.
    expect(world.core.broker.at('a').seq).toBe(Math.floor((128 * 1024) / bytes));
    expect(world.core.open).toEqual([]);
  });

  it('two messages of the maximum size fit, whatever the maximum is', async () => {
    const world = far(20, { maxMessageBytes: 1 << 20 });
    const peer = await inRoom(world);
    for (const n of [1, 2]) peer.say({ type: 'publish', room: 'a', data: 'x'.repeat(1e6) + n });
    await world.pass(60);
    expect(published(peer)).toHaveLength(2);
  });
});

it('each room gets the publishes in the order sent, however the broker answers', async () => {
  const command = fc.record({
    room: fc.constantFrom('a', 'b'),
    type: fc.oneof(
      { weight: 10, arbitrary: fc.constant('publish' as const) },
      { weight: 1, arbitrary: fc.constantFrom('ping', 'leave', 'join') },
    ),
    bytes: fc.constantFrom(1, 100, 30_000),
    waitMs: fc.oneof(
      { weight: 12, arbitrary: fc.constant(0) },
      { weight: 1, arbitrary: fc.constantFrom(10, 40) },
    ),
    answer: fc.constantFrom<Answer>('later', 'later', 'later', 'now', 'throw', 'reject', 'never'),
  });
  onTestFinished(() => void vi.useRealTimers());
  await fc.assert(
    fc.asyncProperty(fc.array(command, { maxLength: 60, size: 'max' }), async (commands) => {
      const answers: Answer[] = [];
      const broker = brokerAt(20, () => answers.shift() ?? 'later');
      const { core, pass, close } = openCore({ broker, config: { brokerTimeoutMs: 100 } });
      try {
        const peer = core.connect();
        let n = 2;
        for (const room of ['a', 'b']) peer.say({ type: 'join', room });
        await pass(100);
        for (const { room, type, bytes, waitMs, answer } of commands) {
          n += 1;
          answers.push(answer);
          if (type === 'publish') peer.say({ type, room, data: `${n} ${'x'.repeat(bytes)}` });
          else if (type === 'ping') peer.say({ type });
          else peer.say({ type, room });
          if (waitMs > 0) await pass(waitMs);
        }
        await pass(100 * n);
        if (peer.transport.isOpen) expect(peer.replies).toEqual([n, n]);
        for (const room of ['a', 'b']) {
          const done = [...core.broker.published.entries()].flatMap(([place, payload]) =>
            place.startsWith(`${room} `) ? [Number.parseInt(payload.data.slice(1), 10)] : [],
          );
          expect(done).toEqual(done.toSorted((one, other) => one - other));
        }
        core.checkDrained();
      } finally {
        await close();
      }
    }),
    { numRuns: 50 },
  );
});
