/** The commands of a connection, its replies and events, and its end. */
import { describe, expect, it, vi } from 'vitest';
import { CLOSE, REFUSAL, type RefusalCode } from '../../src/errors.js';
import { END_REASONS, REFUSAL_CODES } from '../../src/metrics/catalogue/connections.js';
import { JsonCodec } from '../../src/protocol/json.js';
import type { Core } from '../support/core.js';
import type { Peer } from '../support/peer.js';
import type { Answer } from '../support/scripted-broker.js';
import { startCore } from '../support/virtual.js';

/** A core whose broker answers as in `answers`, when `jobs` are run. */
function start(config: Parameters<typeof startCore>[0] = {}) {
  const answers: Answer[] = [];
  const jobs: (() => void)[] = [];
  const world = startCore({
    ...config,
    broker: {
      answer: () => answers.shift() ?? 'now',
      later: (_, job) => jobs.push(job),
    },
  });
  /** Runs all pending broker jobs. */
  const brokerDoes = async () => {
    await world.settle();
    while (jobs.length > 0) {
      jobs.shift()?.();
      await world.settle();
    }
  };
  return { ...world, answers, brokerDoes };
}

const events = ({ transport }: Peer) => transport.events.slice(1);
const last = ({ transport }: Peer) => transport.events.at(-1);
const refused = ({ observer }: Core, code: RefusalCode) =>
  observer.refusedBy[REFUSAL_CODES.indexOf(code)];
const closed = ({ observer }: Core, reason: (typeof END_REASONS)[number]) =>
  observer.closedBy
    .filter((_, row) => row % END_REASONS.length === END_REASONS.indexOf(reason))
    .reduce((sum, count) => sum + count);

describe('a session', () => {
  it('gets a welcome first, with its limits and features', async () => {
    const { core, settle } = start();
    const peer = core.connect();
    peer.say({ type: 'ping' });
    await settle();
    expect(peer.transport.events).toEqual([
      {
        type: 'welcome',
        version: 1,
        member: peer.member.id,
        heartbeatMs: 25_000,
        limits: {
          maxMessageBytes: 65_536,
          maxRoomsPerMember: 100,
          maxRoomNameLength: 200,
          publishRate: 0,
          joinRate: 0,
        },
        features: ['since', 'uid'],
        auth: 'off',
      },
      { type: 'pong', id: 1 },
    ]);
    expect(peer.member.id).toMatch(/^[\w-]{12}$/);
  });

  it('gets a reply if it gave an id, and only errors otherwise', async () => {
    const { core, settle } = start();
    const { transport } = core.connect();
    await settle();
    for (const command of [
      { type: 'ping' },
      { type: 'join', room: 'a' },
      { type: 'join', room: 'a' },
      { type: 'publish', room: 'b', data: 1 },
      { type: 'leave', room: 'a' },
      { type: 'nothing' },
    ]) {
      transport.say(JSON.stringify(command));
      await settle();
    }
    expect(transport.events.slice(1)).toMatchObject([
      { type: 'error', code: 'already_joined' },
      { type: 'error', code: 'not_joined' },
      { type: 'error', code: 'bad_command' },
    ]);
  });

  it('joins, publishes and leaves', async () => {
    const { core, settle } = start();
    const peer = core.connect();
    await settle();
    peer.say({ type: 'join', room: 'a' });
    await settle();
    peer.say({ type: 'publish', room: 'a', data: { x: [1] }, key: 'k' });
    await settle();
    peer.say({ type: 'leave', room: 'a' });
    await settle();
    const from = peer.member.id;
    expect(events(peer)).toEqual([
      { type: 'joined', id: 1, room: 'a', seq: 0, epoch: 'epoch of a', members: 1 },
      { type: 'published', id: 2, room: 'a', seq: 1 },
      { type: 'message', room: 'a', seq: 1, from, at: Date.now(), data: { x: [1] }, key: 'k' },
      { type: 'left', id: 3, room: 'a' },
    ]);
  });

  it('runs commands in order, also behind one that waits', async () => {
    const { core, answers, brokerDoes, settle } = start();
    answers.push('later', 'later');
    const peer = core.connect();
    peer.say({ type: 'join', room: 'a' });
    peer.say({ type: 'publish', room: 'a', data: 1 });
    peer.say({ type: 'ping' });
    peer.say({ type: 'leave', room: 'a' });
    await settle();
    expect(events(peer)).toEqual([]);
    await brokerDoes();
    const replies = events(peer).filter((event) => 'id' in event);
    // Only pipelined commands hold back nothing (`inbox.test.ts`).
    expect(replies.map(({ type }) => type)).toEqual(['joined', 'pong', 'left', 'published']);
  });

  it('continues after a command that failed asynchronously', async () => {
    const { core, answers, brokerDoes } = start();
    answers.push('reject');
    const peer = core.connect();
    peer.say({ type: 'join', room: 'a' });
    peer.say({ type: 'ping' });
    await brokerDoes();
    expect(events(peer)).toMatchObject([
      { type: 'error', id: 1, code: 'broker_unavailable' },
      { type: 'pong', id: 2 },
    ]);
    expect(refused(core, 'broker_unavailable')).toBe(1);
  });
});

describe('what may wait behind a command (V3)', () => {
  it.each([
    ['large frames', 20, JSON.stringify({ type: 'ping', pad: 'x'.repeat(15_000) })],
    ['empty frames', 5000, ''],
  ])('is bounded: %s', async (_, count, text) => {
    const { core, answers, settle } = start();
    answers.push('never');
    const peer = core.connect();
    peer.say({ type: 'join', room: 'a' });
    for (let n = 0; n < count && peer.transport.isOpen; n += 1) peer.transport.say(text);
    expect(peer.transport.closed).toBe('rate_limited');
    await settle();
    expect(last(peer)).toMatchObject({ type: 'closing', code: CLOSE.rate_limited.code });
  });

  it('is no longer counted once it was run', async () => {
    const { core, answers, brokerDoes } = start();
    const peer = core.connect();
    for (let round = 0; round < 5; round += 1) {
      answers.push('later');
      peer.say({ type: 'join', room: `r${round}` });
      for (let n = 0; n < 3000; n += 1) peer.transport.say('{"type":"ping"}');
      await brokerDoes();
    }
    expect(peer.transport.isOpen).toBe(true);
    expect(peer.rooms.size).toBe(5);
  });
});

it('waiting commands run in turns, in order with later ones', async () => {
  const { core, loop, answers, brokerDoes } = start();
  answers.push('later');
  const peer = core.connect();
  peer.say({ type: 'join', room: 'a' });
  for (let n = 0; n < 20; n += 1) peer.say({ type: 'ping' });
  const { decode } = JsonCodec.prototype;
  let decoded = 0;
  vi.spyOn(JsonCodec.prototype, 'decode').mockImplementation(function (this: JsonCodec, ...args) {
    decoded += 1;
    loop.spend(2);
    return decode.apply(this, args);
  });
  const turn = loop.turn.bind(loop);
  let most = 0;
  vi.spyOn(loop, 'turn').mockImplementation(() => {
    const before = decoded;
    turn();
    most = Math.max(most, decoded - before);
    if (before < 9 && decoded >= 9) peer.say({ type: 'leave', room: 'a' });
  });
  await brokerDoes();
  const replies = events(peer).filter((event) => 'id' in event);
  expect(replies.map(({ type }) => type)).toEqual([
    'joined',
    ...Array<string>(20).fill('pong'),
    'left',
  ]);
  // 2 ms each, in turns of 3 ms.
  expect(most).toBe(2);
});

describe('an invalid or excessive input', () => {
  it.each([
    ['not json', 'bad_json'],
    ['{"type":"dance"}', 'bad_command'],
    ['{"type":"join","room":" "}', 'bad_room'],
    ['{"type":"leave","room":"a"}', 'not_joined'],
    [`{"type":"publish","room":"a","data":${'['.repeat(40)}${']'.repeat(40)}}`, 'too_deep'],
    [`{"type":"ping","pad":"${'x'.repeat(5000)}"}`, 'command_too_big'],
  ] as const)('is refused with a code, and counted: %.40s', async (text, code) => {
    const { core, settle } = start();
    const peer = core.connect();
    await settle();
    peer.transport.say(text);
    await settle();
    expect(last(peer)).toMatchObject({ type: 'error', code });
    expect(refused(core, code)).toBe(1);
    expect(REFUSAL[code]).toBeDefined();
    expect(peer.transport.isOpen).toBe(true);
  });

  it('is refused: binary frames', async () => {
    const { core, settle } = start();
    const peer = core.connect();
    peer.session.receivedBinary();
    await settle();
    expect(last(peer)).toMatchObject({ type: 'error', code: 'binary_frame' });
    expect(refused(core, 'binary_frame')).toBe(1);
  });

  it('is refused: joins or publishes beyond their own rate', async () => {
    const { core, settle, pass } = start({ config: { joinRate: 3, publishRate: 2 } });
    const peer = core.connect();
    for (const room of ['a', 'b', 'c', 'd']) peer.say({ type: 'join', room });
    for (let n = 0; n < 3; n += 1) peer.say({ type: 'publish', room: 'a', data: n });
    await settle();
    expect(peer.rooms.size).toBe(3);
    expect(peer.received.messages).toBe(2);
    expect(refused(core, 'rate_limited')).toBe(2);
    await pass(1000);
    peer.say({ type: 'join', room: 'd' });
    await settle();
    expect(peer.rooms.size).toBe(4);
  });

  it.each([
    ['frames that are not JSON', ''],
    ['commands with a wrong field', '{"type":"join","room":7}'],
  ])('ends it: 40,000 %s, of which 100 are answered', async (_, text) => {
    const { core, settle } = start();
    const peer = core.connect();
    await settle();
    for (let n = 0; n < 40_000; n += 1) peer.transport.say(text);
    await settle();
    expect(last(peer)).toMatchObject({ type: 'closing', code: CLOSE.rate_limited.code });
    expect(core.observer.refusedBy.reduce((sum, count) => sum + count)).toBe(100);
    expect(closed(core, 'rate_limited')).toBe(1);
  });

  it('ends the session: a flood of binary frames', async () => {
    const { core, settle } = start();
    const peer = core.connect();
    for (let n = 0; n < 200; n += 1) peer.session.receivedBinary();
    await settle();
    expect(last(peer)).toMatchObject({ type: 'closing', code: CLOSE.rate_limited.code });
    expect(refused(core, 'binary_frame')).toBe(100);
  });

  it('does not end the session: occasional mistakes, or commands sent too early', async () => {
    const { core, settle, pass } = start({ config: { joinRate: 1 } });
    const peer = core.connect();
    await settle();
    for (let n = 0; n < 300; n += 1) {
      peer.transport.say('');
      peer.say({ type: 'join', room: 'a' });
      peer.say({ type: 'leave', room: 'b' });
      await pass(20);
    }
    expect(peer.transport.isOpen).toBe(true);
    expect(refused(core, 'bad_json')).toBe(300);
  });

  it('ends the session: a text beyond the limit', async () => {
    const { core, settle } = start({ config: { maxMessageBytes: 1000 } });
    const peer = core.connect();
    peer.transport.say('x'.repeat(1001));
    await settle();
    expect(last(peer)).toMatchObject({ type: 'closing', code: CLOSE.message_too_big.code });
  });

  it('ends the session: sending nothing for too long', async () => {
    const { core, pass } = start({ config: { firstFrameMs: 1000 } });
    const [silent, spoke, binary] = [core.connect(), core.connect(), core.connect()];
    spoke.transport.say('');
    binary.session.receivedBinary();
    await pass(990);
    expect(silent.transport.isOpen).toBe(true);
    await pass(20);
    expect(silent.transport.closed).toBe('nothing_sent');
    await pass(5000);
    expect(spoke.transport.isOpen).toBe(true);
    expect(binary.transport.isOpen).toBe(true);
    expect(closed(core, 'nothing_sent')).toBe(1);
  });

  it('leaves no timer, also if nothing was sent', () => {
    const { core } = start();
    const before = vi.getTimerCount();
    const peer = core.connect();
    expect(vi.getTimerCount()).toBe(before + 1);
    peer.transport.break();
    expect(vi.getTimerCount()).toBe(before);
  });

  it('causes no error reply when the peer disconnects during a join', async () => {
    const { core, answers, brokerDoes, settle } = start();
    answers.push('later');
    const peer = core.connect();
    peer.say({ type: 'join', room: 'a' });
    await settle();
    peer.transport.break();
    await brokerDoes();
    expect(core.hub.rooms.size).toBe(0);
    expect(core.observer.refusedBy.reduce((sum, count) => sum + count)).toBe(0);
  });

  it.each(['message_too_big', 'protocol_error', 'heartbeat_missed'] as const)(
    'ends the session: a fault found by its transport (%s)',
    async (reason) => {
      const { core, settle } = start();
      const peer = core.connect();
      peer.session.faulted(reason);
      await settle();
      expect(last(peer)).toMatchObject({ type: 'closing', code: CLOSE[reason].code });
    },
  );

  it('leaves its rooms and runs nothing more once the peer has sent its close frame', async () => {
    const { core, settle } = start();
    const peer = core.connect();
    peer.say({ type: 'join', room: 'a' });
    await settle();
    peer.session.left();
    peer.say({ type: 'join', room: 'b' });
    await settle();
    expect(core.hub.members.has(peer.member.id)).toBe(false);
    expect(core.hub.rooms.size).toBe(0);
    expect(last(peer)).toMatchObject({ type: 'joined', room: 'a' });
    peer.transport.break();
  });

  it('does not crash the server on an internal error (V11)', async () => {
    const { core, answers, brokerDoes, settle } = start();
    const other = core.connect();
    const [first, second] = [core.connect(), core.connect()];
    const decode = vi.spyOn(JsonCodec.prototype, 'decode').mockImplementationOnce(() => {
      throw new RangeError('ours');
    });
    first.transport.say('{}');
    decode.mockRestore();
    answers.push('later');
    vi.spyOn(core.hub.memberContext.codec, 'encode').mockImplementationOnce(() => {
      throw new RangeError('ours too');
    });
    second.say({ type: 'join', room: 'a' });
    await brokerDoes();
    expect(first.transport.closed).toBe('internal_error');
    expect(second.transport.closed).toBe('internal_error');
    expect(core.failures.splice(0)).toMatchObject([{ message: 'ours' }, { message: 'ours too' }]);
    other.say({ type: 'ping' });
    await settle();
    expect(last(other)).toMatchObject({ type: 'pong' });
  });
});

describe('the end', () => {
  it('sends the reason after the replies not handed over yet', async () => {
    const { core, settle } = start();
    const peer = core.connect();
    peer.say({ type: 'join', room: 'a' });
    await settle();
    peer.say({ type: 'ping' });
    peer.session.close('forbidden');
    peer.session.close('slow_consumer');
    peer.transport.say('{"type":"ping"}');
    expect(events(peer).map(({ type }) => type)).toEqual(['joined', 'pong', 'closing']);
    expect(last(peer)).toEqual({
      type: 'closing',
      code: CLOSE.forbidden.code,
      reason: CLOSE.forbidden.text,
    });
    expect(core.hub.members.size).toBe(0);
    await settle();
    expect(core.hub.rooms.size).toBe(0);
    expect(closed(core, 'forbidden')).toBe(1);
  });

  it('removes the member from every room, and from the one it was joining', async () => {
    const { core, answers, brokerDoes, settle } = start();
    const peer = core.connect();
    for (const room of ['a', 'b']) peer.say({ type: 'join', room });
    await settle();
    answers.push('later');
    peer.say({ type: 'join', room: 'c' });
    peer.transport.break();
    await brokerDoes();
    expect(core.hub.rooms.size).toBe(0);
    expect(core.hub.memory.bytes).toBe(0);
    expect(closed(core, 'lost')).toBe(1);
  });

  it('is announced, and happens when the member has received everything', async () => {
    const { core, settle } = start();
    const peer = core.connect();
    peer.say({ type: 'join', room: 'a' });
    await settle();
    peer.transport.stall();
    for (let n = 0; n < 3; n += 1) void core.hub.publish(null, 'a', '1');
    await settle();
    peer.session.announceClose(1500);
    peer.say({ type: 'ping' });
    await settle();
    expect(peer.member.outbox.isDrained).toBe(false);
    peer.transport.resume();
    expect(peer.member.outbox.isDrained).toBe(true);
    expect(last(peer)).toEqual({
      type: 'closing',
      code: CLOSE.going_away.code,
      reason: CLOSE.going_away.text,
      retryAfterMs: 1500,
    });
    expect(peer.received.messages).toBe(3);
    peer.session.closeDrained(1000);
    peer.session.closeDrained(1000);
    expect(peer.transport.closed).toBe('going_away');
    expect(core.observer.totals.abandoned).toBe(0);
  });

  it('is immediate with a reset, and nothing is held afterwards', async () => {
    const { core, settle } = start();
    const peer = core.connect();
    peer.say({ type: 'join', room: 'a' });
    await settle();
    peer.transport.stall();
    for (let n = 0; n < 3; n += 1) void core.hub.publish(null, 'a', '1');
    await settle();
    peer.session.reset();
    expect(peer.transport.end).toBe('going_away');
    expect(core.hub.memory.bytes).toBe(0);
    expect(core.observer.totals.abandoned).toBe(3);
    core.check();
  });
});
