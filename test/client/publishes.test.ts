/**
 * Publishes of the client: when they are sent, how each ends, and that none is sent twice without
 * deduplication.
 */
import { describe, expect, it, vi } from 'vitest';
import { bytesInUse } from '../support/heap.js';
import { rig } from './rig.js';
import type { ScriptedServer } from './scripted-server.js';

/** `CLIENT_OFFLINE=1000000` runs a million. */
const OFFLINE = Number(process.env['CLIENT_OFFLINE'] ?? 20_000);

const joined = async (
  serverOptions?: Parameters<typeof rig>[0],
  options?: Parameters<typeof rig>[1],
) => {
  const all = rig(serverOptions, options);
  const room = all.client.room('a');
  room.join();
  await all.pass(10);
  return { ...all, room };
};
const code = (promise: Promise<unknown>) =>
  promise.then(
    (value) => value,
    (error) => error.code,
  );
const published = (server: ScriptedServer) =>
  server.sockets.flatMap(({ sent }) =>
    sent.filter(({ type }) => type === 'publish').map(({ data }) => data),
  );

describe('a publish', () => {
  it('resolves with its sequence number', async () => {
    const { server, room, pass } = await joined();
    const one = room.publish({ text: 'hällo' }, { key: 'k' });
    const two = room.publish(null);
    await pass(10);
    expect(await Promise.all([one, two])).toEqual([{ seq: 1 }, { seq: 2 }]);
    expect(server.socket.sent.at(-2)).toMatchObject({ data: { text: 'hällo' }, key: 'k' });
  });

  it('waits for a connection and for the join, in order', async () => {
    const { server, client, pass } = rig();
    const room = client.room('a');
    room.join();
    const all = [1, 2, 3].map((data) => room.publish(data));
    await pass(20);
    expect(await Promise.all(all)).toEqual([{ seq: 1 }, { seq: 2 }, { seq: 3 }]);
    expect(server.socket.sent.map(({ type }) => type)).toEqual([
      'ping',
      'join',
      'publish',
      'publish',
      'publish',
    ]);
  });

  it('to a room that is not joined is refused by the server', async () => {
    const { client, pass } = rig();
    const refused = code(client.room('b').publish(1));
    await pass(20);
    expect(await refused).toBe('not_joined');
  });

  it('is rejected with the refusal of the server and `retryable`', async () => {
    const { server, room, pass } = await joined();
    server.answers.set('publish', (socket, command) =>
      server.refuse(socket, command, 'rate_limited'),
    );
    const refused = room.publish(1);
    await pass(10);
    await expect(refused).rejects.toMatchObject({
      code: 'rate_limited',
      retryable: true,
      retryAfterMs: 1000,
      room: 'a',
      message: 'as told',
    });
  });

  it('that is not JSON or too large is rejected locally', async () => {
    const { server, room } = await joined({ limits: { maxMessageBytes: 100 } });
    const circle: Record<string, unknown> = {};
    circle['self'] = circle;
    const toJSON = () => undefined;
    for (const data of [undefined, () => {}, 1n, circle, { toJSON }]) {
      expect(await code(room.publish(data))).toBe('bad_data');
    }
    expect(await code(room.publish('ü'.repeat(40)))).toBe('message_too_big');
    expect(published(server)).toEqual([]);
  });

  it.each(['a', 'ü', '€', '😀', '\ud800', '"', '\u2028'])(
    'of %j is measured in bytes of UTF-8',
    async (text) => {
      const { server, room, pass } = await joined();
      const bytes = (n: number) =>
        new TextEncoder().encode(JSON.stringify(server.socket.sent.at(-1))).length <= n;
      void room.publish(text.repeat(20));
      await pass(10);
      const size = new TextEncoder().encode(JSON.stringify(server.socket.sent.at(-1))).length;
      expect(bytes(size)).toBe(true);
      // The id counts as twenty bytes.
      for (const [limit, expected] of [
        [size + 25, { seq: 2 }],
        [size - 1, 'message_too_big'],
      ] as const) {
        server.options.limits['maxMessageBytes'] = limit;
        server.socket.drop();
        await pass(3000);
        const answer = code(room.publish(text.repeat(20)));
        await pass(10);
        expect(await answer).toEqual(expected);
      }
    },
  );
});

describe('the queue', () => {
  it('is bounded in messages and bytes, and rejects at once when full', async () => {
    const { client, pass } = rig(
      {},
      { lazy: true, publish: { queueMessages: 3, queueBytes: 1000 } },
    );
    await pass(1);
    const room = client.room('a');
    const one = [1, 2, 3, 4].map((data) => code(room.publish(data)));
    expect(await Promise.race([one[3], Promise.resolve('waits')])).toBe('waits');
    await Promise.resolve();
    await Promise.resolve();
    expect(await Promise.race([one[3], new Promise((r) => queueMicrotask(() => r('waits')))])).toBe(
      'queue_full',
    );
    const large = code(client.room('b').publish('x'.repeat(1000)));
    expect(await large).toBe('queue_full');
  });

  it('retains nothing of publishes that it rejects while full', async () => {
    const { client } = rig({}, { lazy: true });
    vi.useRealTimers();
    const room = client.room('a');
    let refused = 0;
    const count = () => {
      refused += 1;
    };
    const batch = async () => {
      for (let i = 0; i < 10_000; i += 1) room.publish(i).catch(count);
      await Promise.resolve();
      heaps.push(await bytesInUse());
    };
    const heaps: number[] = [];
    for (let i = 0; i < OFFLINE / 10_000; i += 1) await batch();
    expect(refused).toBeGreaterThan(OFFLINE - 10_100);
    const timers = process.getActiveResourcesInfo().filter((name) => name === 'Timeout');
    expect(timers.length).toBeLessThan(110);
    // Ten thousand promises and errors would take megabytes.
    expect(heaps.at(-1)! - heaps[0]!).toBeLessThan(1_000_000);
  });

  it('rejects a publish that has waited too long, and never sends it', async () => {
    const { server, client, pass } = rig();
    server.isUp = false;
    const room = client.room('a');
    room.join();
    const late = code(room.publish('late', { timeoutMs: 300 }));
    const later = code(room.publish('later'));
    await pass(301);
    expect(await late).toBe('timeout');
    server.isUp = true;
    await pass(5000);
    expect(await later).toEqual({ seq: 1 });
    expect(published(server)).toEqual(['later']);
  });

  it('drops an aborted publish, and never sends it', async () => {
    const { server, client, pass } = rig();
    const controller = new AbortController();
    const room = client.room('a');
    room.join();
    const aborted = code(room.publish('aborted', { signal: controller.signal }));
    controller.abort();
    expect(await aborted).toBe('aborted');
    expect(await code(room.publish('aborted', { signal: controller.signal }))).toBe('aborted');
    await pass(5000);
    expect(published(server)).toEqual([]);
  });

  it('holds publishes while the buffer of the socket is full, where they can still be aborted', async () => {
    const { server, room, pass } = await joined();
    server.socket.bufferedAmount = 256 * 1024;
    const late = code(room.publish('late', { timeoutMs: 500 }));
    const kept = code(room.publish('kept'));
    await pass(1000);
    expect([await late, published(server)]).toEqual(['timeout', []]);
    server.socket.bufferedAmount = 0;
    await pass(100);
    expect([await kept, published(server)]).toEqual([{ seq: 1 }, ['kept']]);
  });

  it('has at most a thousand publishes in flight, and continues as they are answered', async () => {
    const { server, room } = await joined(
      {},
      { publish: { queueMessages: 2000, queueBytes: 1e6 } },
    );
    vi.useRealTimers();
    const held: (() => void)[] = [];
    server.answers.set('publish', (socket, command) =>
      held.push(() => server.carryOut(socket, command)),
    );
    const all = Array.from({ length: 1200 }, (_, i) => room.publish(i));
    await vi.waitFor(() => expect(held.length).toBeGreaterThanOrEqual(1000));
    expect(held).toHaveLength(1000);
    server.answers.clear();
    for (const answer of held) answer();
    expect((await Promise.all(all)).at(-1)).toEqual({ seq: 1200 });
  });
});

describe('a publish that the connection leaves unanswered', () => {
  const interrupted = async (
    features: ('since' | 'uid')[],
    away: (server: ScriptedServer) => void,
  ) => {
    const { server, room, pass } = await joined({ features, keeps: 10 });
    const told: unknown[] = [];
    room.on('message', ({ data }) => told.push(data));
    server.answers.set('publish', (socket, command) => {
      // It is published, but the answer is lost.
      server.carryOut(socket, command);
      socket.isDead = true;
      socket.drop();
    });
    const answer = code(room.publish('once'));
    await pass(2);
    server.answers.clear();
    away(server);
    server.socket.onclose?.({ code: 1006, reason: '' } as never);
    await pass(3000);
    return { answer: await answer, sent: published(server).length, told };
  };

  it('is rejected if the server has no `uid`, and not sent again', async () => {
    const { answer, sent, told } = await interrupted(['since'], () => {});
    expect([answer, sent]).toEqual(['connection_lost', 1]);
    expect(told).toEqual(['once']);
  });

  it('is sent again if the server has `uid`, and published once', async () => {
    const { answer, sent, told } = await interrupted(['since', 'uid'], () => {});
    expect([answer, sent]).toEqual([{ seq: 1 }, 2]);
    expect(told).toEqual(['once']);
  });

  it('keeps its place before later ones', async () => {
    const { server, room, pass } = await joined({ features: ['since', 'uid'], keeps: 10 });
    server.answers.set('publish', () => {});
    const one = code(room.publish('one'));
    await pass(5);
    server.answers.clear();
    server.socket.drop();
    await pass(5);
    const two = code(room.publish('two'));
    await pass(3000);
    expect(await Promise.all([one, two])).toEqual([{ seq: 1 }, { seq: 2 }]);
    expect(published(server)).toEqual(['one', 'one', 'two']);
  });

  it('is rejected if the epoch changed, since the server no longer knows the `uid`', async () => {
    const { answer, sent } = await interrupted(['since', 'uid'], (server) => server.rooms.clear());
    expect([answer, sent]).toEqual(['connection_lost', 1]);
  });

  it('is rejected at its deadline', async () => {
    const { server, room, pass } = await joined();
    server.answers.set('publish', () => {});
    const answer = code(room.publish('x', { timeoutMs: 400 }));
    await pass(401);
    expect(await answer).toBe('timeout');
    server.answers.clear();
    server.socket.drop();
    await pass(3000);
    expect(published(server)).toEqual(['x']);
  });

  it('is rejected as too big if the connection was closed for that, but only the largest one', async () => {
    const { server, room, pass } = await joined();
    server.answers.set('publish', () => {});
    const small = code(room.publish('x'));
    const large = code(room.publish('x'.repeat(1000)));
    await pass(5);
    server.answers.clear();
    server.socket.evict(4009);
    await pass(3000);
    expect([await small, await large]).toEqual([{ seq: 1 }, 'message_too_big']);
  });
});

describe('a publish of which the broker is uncertain', () => {
  it.each([
    [['since', 'uid'] as const, { seq: 1 }, 2],
    [['since'] as const, 'broker_uncertain', 1],
  ])('with %j ends as %j', async (features, expected, sent) => {
    const { server, room, pass } = await joined({ features: [...features] });
    let first = true;
    server.answers.set('publish', (socket, command) => {
      if (first) server.refuse(socket, command, 'broker_uncertain');
      else server.carryOut(socket, command);
      first = false;
    });
    const answer = code(room.publish(1));
    await pass(1000);
    expect([await answer, published(server).length]).toEqual([expected, sent]);
  });
});
