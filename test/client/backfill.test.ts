/** Healing of losses: requesting messages, calling `load`, and reporting the rest as gaps. */
import { describe, expect, it, vi } from 'vitest';
import type { RoomOptions } from '../../client/src/index.js';
import { record, rig } from './rig.js';

const joined = async (
  server: Parameters<typeof rig>[0] = {},
  options?: RoomOptions<never>,
  more: Parameters<typeof rig>[1] = {},
) => {
  const all = rig({ keeps: 100, queue: 2, ...server }, more);
  const room = all.client.room('a', options);
  const told = record(room);
  room.join();
  await all.pass(10);
  return { ...all, room, told };
};
/** Publishes 1 to 6 to a stalled member, which keeps the last two; then it reads on. */
async function loses({ server, pass }: Awaited<ReturnType<typeof joined>>) {
  server.stall();
  for (const data of [1, 2, 3, 4, 5, 6]) server.publish('a', data);
  server.resume();
  await pass(0);
}

describe('a gap', () => {
  it('is requested, and messages that arrive meanwhile are held', async () => {
    const all = await joined({ latencyMs: 10 });
    await all.pass(100);
    await loses(all);
    all.server.publish('a', 7);
    await all.pass(15);
    expect(all.told).toEqual(['joined']);
    await all.pass(100);
    expect(all.told).toEqual(['joined', '1', '2', '3', '4', '5', '6', '7']);
    expect(all.server.socket.sent.filter(({ type }) => type === 'history')).toEqual([
      expect.objectContaining({ room: 'a', from: 1, to: 4 }),
    ]);
  });

  it('is requested once, however many messages arrive meanwhile', async () => {
    const all = await joined({ latencyMs: 10 });
    await all.pass(100);
    await loses(all);
    await all.pass(5);
    const again = { type: 'message', room: 'a', seq: 6, from: null, at: 0, data: 6 };
    for (let i = 0; i < 300; i += 1) all.server.socket.say(again);
    await all.pass(100);
    expect(all.told).toEqual(['joined', '1', '2', '3', '4', '5', '6']);
  });

  it('is reported as far as the messages no longer exist', async () => {
    const all = await joined({ keeps: 4 });
    await loses(all);
    await all.pass(100);
    expect(all.told).toEqual(['joined', 'gap 1-2 overflow', '3', '4', '5', '6']);
  });

  it.each(['not_enabled', 'not_allowed'])('is reported at once after %s', async (code) => {
    const all = await joined();
    all.server.answers.set('history', (socket, command) =>
      all.server.refuse(socket, command, code),
    );
    await loses(all);
    await all.pass(100);
    await loses(all);
    await all.pass(100);
    expect(all.told).toEqual([
      'joined',
      'gap 1-4 overflow',
      '5',
      '6',
      'gap 7-10 overflow',
      '5',
      '6',
    ]);
    expect(all.server.socket.sent.filter(({ type }) => type === 'history')).toHaveLength(1);
    expect(all.errors).toEqual([]);
  });

  it('is reported if the server is too busy, and the next one is requested again', async () => {
    const all = await joined();
    all.server.answers.set('history', (socket, command) =>
      all.server.refuse(socket, command, 'history_busy'),
    );
    await loses(all);
    await all.pass(100);
    all.server.answers.clear();
    await loses(all);
    await all.pass(100);
    expect(all.told).toEqual([
      'joined',
      'gap 1-4 overflow',
      '5',
      '6',
      '1',
      '2',
      '3',
      '4',
      '5',
      '6',
    ]);
  });

  it('is reported after two seconds if incomplete, and late pages are dropped', async () => {
    const all = await joined();
    let answer = () => {};
    all.server.answers.set('history', (socket, command) => {
      const past = { type: 'past', id: command.id, room: 'a' };
      socket.say({ ...past, messages: [{ seq: 1, from: null, at: 0, data: 1 }] });
      answer = () => socket.say({ ...past, messages: [{ seq: 2, from: null, at: 0, data: 2 }] });
    });
    await loses(all);
    await all.pass(1900);
    expect(all.told).toEqual(['joined', '1']);
    await all.pass(200);
    answer();
    await all.pass(100);
    expect(all.told).toEqual(['joined', '1', 'gap 2-4 overflow', '5', '6']);
  });

  it.each([
    ['256 messages', 257, 'x'],
    ['256 KiB', 3, 'x'.repeat(100_000)],
  ])('is reported if more than %s are held', async (_, count, data) => {
    const all = await joined();
    all.server.answers.set('history', () => {});
    await loses(all);
    await all.pass(10);
    expect(all.told).toEqual(['joined']);
    for (let i = 0; i < count; i += 1) all.server.publish('a', data);
    await all.pass(10);
    expect(all.told.slice(0, 4)).toEqual(['joined', 'gap 1-4 overflow', '5', '6']);
    expect(all.told).toHaveLength(4 + count);
  });

  it('is reported before a reset, with the held messages, whose numbers belong to the old epoch', async () => {
    const all = await joined();
    all.server.answers.set('history', () => {});
    await loses(all);
    await all.pass(10);
    expect(all.told).toEqual(['joined']);
    all.server.renumber('a');
    all.server.publish('a', 'new');
    await all.pass(10);
    const before = ['joined', 'gap 1-4 overflow', '5', '6'];
    expect(all.told).toEqual([...before, 'gap null-null reset', 'new']);
    await all.pass(3000);
    expect(all.told).toHaveLength(6);
  });

  it('that is lost with the connection is recovered by the next join', async () => {
    const all = await joined();
    all.server.answers.set('history', () => {});
    await loses(all);
    await all.pass(10);
    all.server.socket.drop();
    await all.pass(1000);
    expect(all.told).toEqual(['joined', 'complete 6 6', '1', '2', '3', '4', '5', '6']);
  });

  it('of 1,001 messages is not requested, nor one while hidden, nor a conflated one', async () => {
    let happen = (_: 'hidden' | 'visible') => {};
    const all = await joined({}, undefined, {
      lifecycle: {
        watch(on) {
          happen = on;
          return () => {};
        },
      },
    });
    const say = (
      from: number,
      to: number,
      reason: 'overflow' | 'conflated' | 'expired' = 'overflow',
    ) => all.server.socket.say({ type: 'gap', room: 'a', from, to, count: to - from + 1, reason });
    say(1, 1001);
    await all.pass(10);
    happen('hidden');
    say(1002, 1003);
    await all.pass(10);
    happen('visible');
    say(1004, 1005, 'conflated');
    say(1006, 1007, 'expired');
    await all.pass(10);
    expect(all.told).toEqual([
      'joined',
      'gap 1-1001 overflow',
      'gap 1002-1003 overflow',
      'gap 1004-1005 conflated',
      'gap 1006-1007 expired',
    ]);
    expect(all.server.socket.sent.map(({ type }) => type)).not.toContain('history');
  });

  it('in several rooms is requested for one room at a time', async () => {
    const all = await joined();
    const other = all.client.room('b');
    const told = record(other);
    other.join();
    await all.pass(10);
    const asked: unknown[] = [];
    let answer = () => {};
    all.server.answers.set('history', (socket, command) => {
      asked.push(command.room);
      answer = () => all.server.carryOut(socket, command);
    });
    all.server.options.queue = 4;
    all.server.stall();
    for (const data of [1, 2, 3, 4]) {
      all.server.publish('a', data);
      all.server.publish('b', data);
    }
    all.server.resume();
    await all.pass(10);
    expect(asked).toEqual(['a']);
    answer();
    await all.pass(10);
    expect(asked).toEqual(['a', 'b']);
    answer();
    await all.pass(10);
    expect([all.told, told]).toEqual([
      ['joined', '1', '2', '3', '4'],
      ['joined', '1', '2', '3', '4'],
    ]);
  });

  it('is filled only with messages of its range, whatever a page contains', async () => {
    const all = await joined();
    all.server.answers.set('history', (socket, { id }) => {
      const message = (seq: number) => ({ seq, from: null, at: 0, data: seq });
      const messages = [0, 1, 2, 2, 1, 4, 5, 99].map(message);
      socket.say({ type: 'past', id, room: 'a', messages });
      socket.say({ type: 'history', id, room: 'a', epoch: 'e1', from: 1, to: 4, count: 8 });
    });
    await loses(all);
    await all.pass(100);
    expect(all.told).toEqual(['joined', '1', '2', 'gap 3-3 overflow', '4', '5', '6']);
  });

  it('that the server truncates is requested further', async () => {
    const all = await joined();
    all.server.answers.set('history', (socket, command) => {
      const { id, from } = command as unknown as { id: number; from: number };
      const message = { seq: from, from: null, at: 0, data: from };
      socket.say({ type: 'past', id, room: 'a', messages: [message] });
      const next = from < 4 ? { next: from + 1 } : {};
      const range = { from, to: 4, count: 1, missing: [] };
      socket.say({ type: 'history', id, room: 'a', epoch: 'e1', ...range, ...next });
    });
    await loses(all);
    await all.pass(100);
    expect(all.told).toEqual(['joined', '1', '2', '3', '4', '5', '6']);
  });

  it('is reported as it is if the app switches backfill off or passes no `healing`', async () => {
    for (const [options, more] of [
      [{ backfill: false }, {}],
      [{}, { healing: undefined }],
    ] as const) {
      const all = await joined({}, options, more as never);
      await loses(all);
      await all.pass(10);
      expect(all.told).toEqual(['joined', 'gap 1-4 overflow', '5', '6']);
      await all.client.close();
    }
  });

  it('is no longer healed once a listener leaves the room or closes the client', async () => {
    for (const end of ['leave', 'close'] as const) {
      const all = await joined();
      all.room.on('message', ({ data }) => {
        if (data !== 2) return;
        if (end === 'leave') void all.room.leave();
        else void all.client.close();
      });
      await loses(all);
      await all.pass(3000);
      expect(all.told.slice(0, 3)).toEqual(['joined', '1', '2']);
      expect(all.told.slice(3)).toEqual(end === 'leave' ? ['left: left'] : ['left: closed']);
      expect(all.room.position).toBe(null);
    }
  });
});

describe('load', () => {
  const loading = (positions: (number | undefined)[], ms = 20) => {
    const asked: string[] = [];
    const load = vi.fn(async ({ reason }: { reason: string }) => {
      asked.push(reason);
      const seq = positions.shift();
      await new Promise((resolve) => setTimeout(resolve, ms));
      return seq === undefined ? undefined : { epoch: 'e1', seq };
    });
    return { asked, load };
  };

  it('at the first join: messages in the state are not delivered, later ones are held', async () => {
    const { asked, load } = loading([2]);
    const all = await joined({}, { load });
    for (const data of [1, 2, 3]) all.server.publish('a', data);
    await all.pass(5);
    expect(all.told).toEqual(['joined']);
    await all.pass(100);
    expect(all.told).toEqual(['joined', '3']);
    expect(asked).toEqual(['first']);
    all.server.socket.drop();
    await all.pass(2000);
    expect(asked).toEqual(['first']);
  });

  it.each([
    ['a part', 3, ['gap 4-5 overflow'], [2]],
    ['the whole', 5, [], []],
  ])(
    'with %s of a gap that arrived meanwhile: only the rest is reported',
    async (_, seq, gap, counts) => {
      const { load } = loading([seq]);
      const all = await joined({ features: [] }, { load });
      const counted: unknown[] = [];
      all.room.on('gap', ({ count }) => counted.push(count));
      const range = { from: 2, to: 5, count: 4, reason: 'overflow' };
      all.server.socket.say({ type: 'gap', room: 'a', ...range });
      all.server.socket.say({ type: 'message', room: 'a', seq: 6, from: null, at: 0, data: 6 });
      await all.pass(100);
      expect(all.told).toEqual(['joined', ...gap, '6']);
      expect(counted).toEqual(counts);
      expect(all.room.position?.seq).toBe(6);
    },
  );

  it('of a state older than the join reports the messages that neither has', async () => {
    const { load } = loading([1]);
    const all = rig({ features: [] });
    for (const data of [1, 2, 3]) all.server.publish('a', data);
    const room = all.client.room('a', { load });
    const told = record(room);
    room.join();
    await all.pass(100);
    expect(told).toEqual(['joined', 'gap 2-3 disconnected']);
    expect(load).toHaveBeenCalledTimes(1);
  });

  it('at a loss that cannot be healed, and at a reset', async () => {
    const { asked, load } = loading([0, 6, undefined]);
    const all = await joined({ keeps: 0, features: ['since'] }, { load });
    await all.pass(100);
    await loses(all);
    await all.pass(100);
    all.server.renumber('a');
    await all.pass(100);
    all.server.publish('a', 'new');
    await all.pass(10);
    expect(all.told).toEqual(['joined', 'gap 1-4 overflow', 'gap null-null reset', 'new']);
    expect(asked).toEqual(['first', 'gap', 'reset']);
  });

  it('that returns a position of another epoch reports a reset, and is not called again for it', async () => {
    const load = vi.fn(async () => ({ epoch: 'other', seq: 1 }));
    const all = await joined({}, { load });
    await all.pass(100);
    expect(all.told).toEqual(['joined', 'gap null-null reset']);
    expect(load).toHaveBeenCalledTimes(1);
  });

  it.each([
    ['throws', () => Promise.reject(new Error('down'))],
    [
      'throws at once',
      () => {
        throw new Error('down');
      },
    ],
  ])('that %s emits an error, and held messages are delivered', async (_, load) => {
    const all = await joined({}, { load });
    all.server.publish('a', 1);
    await all.pass(10);
    expect(all.told).toEqual(['joined', '1']);
    expect(all.errors).toEqual(['load_failed']);
  });

  it('that hangs holds messages for ten seconds at most, and is aborted when the room is left', async () => {
    let signal: AbortSignal | undefined;
    const load = (context: { signal: AbortSignal }) => {
      ({ signal } = context);
      return new Promise<never>(() => {});
    };
    const all = await joined({}, { load });
    all.server.publish('a', 1);
    await all.pass(9000);
    expect(all.told).toEqual(['joined']);
    await all.pass(1100);
    expect(all.told).toEqual(['joined', '1']);
    void all.room.leave();
    await all.pass(10);
    expect(signal!.aborted).toBe(true);
  });

  it('requested while one runs starts once more after it', async () => {
    const { asked, load } = loading([0, 1000, 1000], 100);
    const all = await joined({ keeps: 0, features: ['since'] }, { load });
    all.server.renumber('a');
    all.server.renumber('a');
    await all.pass(1000);
    expect(asked).toEqual(['first', 'reset']);
  });
});
