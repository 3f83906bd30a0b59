/** Rooms: joining, leaving, delivery and gaps, against a scripted server. */
import { describe, expect, expectTypeOf, it } from 'vitest';
import { events } from '../../client/src/events.js';
import { type Client, connect, type Room } from '../../client/src/index.js';
import { record, rig } from './rig.js';

const joined = async (options?: Parameters<typeof rig>[0], more?: Parameters<typeof rig>[1]) => {
  const all = rig(options, more);
  const room = all.client.room('a');
  const told = record(room);
  room.join();
  await all.pass(10);
  return { ...all, room, told };
};

describe('a room', () => {
  it('is joined once, however often join() is called, and delivers in order', async () => {
    const { server, client, room, told, pass } = await joined();
    const [one, two] = await Promise.all([room.join(), client.room('a').join()]);
    expect(one).toEqual({
      type: 'joined',
      seq: 0,
      members: 1,
      recovery: 'first',
      missed: 0,
      recovered: 0,
    });
    expect(two).toBe(one);
    for (const data of ['x', 'y']) server.publish('a', data);
    await pass(10);
    expect(told).toEqual(['joined', 'x', 'y']);
    expect(room.position).toEqual({ epoch: 'e1', seq: 2 });
    expect(server.socket.sent.filter(({ type }) => type === 'join')).toHaveLength(1);
  });

  it('has one handle per name', async () => {
    const { client } = rig();
    expect(client.room('a')).toBe(client.room('a'));
    expect(client.room('a')).not.toBe(client.room('b'));
  });

  it('has the message type that an interface or a type gives it, and unknown otherwise', async () => {
    interface Typed {
      stats: number;
      [chat: `chat:${string}`]: { text: string };
    }
    const client = connect<Typed>('', { lazy: true });
    expectTypeOf(client.room('stats')).toEqualTypeOf<Room<number>>();
    expectTypeOf(client.room('chat:a')).toEqualTypeOf<Room<{ text: string }>>();
    expectTypeOf<Parameters<typeof client.room>[0]>().toEqualTypeOf<'stats' | `chat:${string}`>();
    const types = connect<{ stats: number }>('', { lazy: true });
    expectTypeOf(types.room('stats')).toEqualTypeOf<Room<number>>();
    const plain = connect('', { lazy: true });
    expectTypeOf(plain).toEqualTypeOf<Client>();
    expectTypeOf(plain.room('any')).toEqualTypeOf<Room<unknown>>();
    await Promise.all([client.close(), types.close(), plain.close()]);
  });

  it('marks its own messages, also those of earlier connections', async () => {
    const { server, room, pass } = await joined({ keeps: 10 });
    const own: unknown[] = [];
    room.on('message', (message) => own.push([message.data, message.own]));
    server.publish('a', 'other', 'm99');
    void room.publish('mine');
    await pass(10);
    void room.publish('late');
    await pass(1.5);
    server.socket.drop();
    await pass(2000);
    expect(own).toEqual([
      ['other', false],
      ['mine', true],
      ['late', true],
    ]);
    own.length = 0;
    for (const from of ['m1', 'm2', 'm3']) server.publish('a', from, from);
    await pass(10);
    expect(own).toEqual([
      ['m1', true],
      ['m2', true],
      ['m3', false],
    ]);
  });

  it('rejoins at its position: the missed messages follow, or a gap', async () => {
    const { server, told, room, pass } = await joined({ keeps: 2 });
    server.publish('a', 1);
    await pass(10);
    server.socket.drop();
    await pass(10);
    expect(room.state).toBe('waiting');
    for (const data of [2, 3]) server.publish('a', data);
    await pass(1000);
    server.socket.drop();
    await pass(10);
    for (const data of [4, 5, 6, 7]) server.publish('a', data);
    await pass(3000);
    server.socket.drop();
    await pass(5000);
    expect(told).toEqual([
      'joined',
      '1',
      'complete 2 2',
      '2',
      '3',
      'partial 4 null',
      'gap 4-5 expired',
      '6',
      '7',
      'complete 0 0',
    ]);
  });

  it('of a server without positions still reports an exact gap', async () => {
    const { server, told, pass } = await joined({ features: [] });
    server.publish('a', 1);
    await pass(10);
    server.socket.drop();
    await pass(10);
    for (const data of [2, 3]) server.publish('a', data);
    await pass(1000);
    server.publish('a', 4);
    await pass(10);
    expect(told).toEqual(['joined', '1', 'lost 2 0', 'gap 2-3 disconnected', '4']);
  });

  it.each([
    ['with', ['since'] as const],
    ['without', [] as const],
  ])('reports a restart as a reset, %s positions', async (_, features) => {
    const { server, told, room, pass } = await joined({ features: [...features] });
    server.publish('a', 1);
    server.publish('a', 2);
    await pass(10);
    server.restart();
    server.publish('a', 'lost');
    await pass(1000);
    server.publish('a', 'new');
    await pass(10);
    expect(told).toEqual(['joined', '1', '2', 'reset null 0', 'gap null-null reset', 'new']);
    expect(room.position).toEqual({ epoch: 'e2', seq: 2 });
  });

  it('reports a reset on a living connection', async () => {
    const { server, told, pass } = await joined();
    server.publish('a', 1);
    await pass(10);
    server.renumber('a');
    server.publish('a', 'new');
    await pass(10);
    expect(told).toEqual(['joined', '1', 'gap null-null reset', 'new']);
  });

  it('passes gaps on, detects skipped numbers, and drops duplicates', async () => {
    const { server, room, told, pass } = await joined({ features: [] });
    const counts: unknown[] = [];
    room.on('gap', ({ count }) => counts.push(count));
    const message = (seq: number) =>
      server.socket.say({ type: 'message', room: 'a', seq, from: null, at: 0, data: seq });
    const gap = (from: number, to: number) =>
      server.socket.say({
        type: 'gap',
        room: 'a',
        from,
        to,
        count: to - from + 1,
        reason: 'overflow',
      });
    message(1);
    message(1);
    gap(2, 4);
    gap(2, 4);
    message(4);
    message(5);
    message(8);
    gap(10, 11);
    gap(11, 12);
    message(13);
    await pass(10);
    expect(told).toEqual([
      'joined',
      '1',
      'gap 2-4 overflow',
      '5',
      'gap 6-7 unannounced',
      '8',
      'gap 9-9 unannounced',
      'gap 10-11 overflow',
      'gap 12-12 overflow',
      '13',
    ]);
    expect(counts).toEqual([3, 2, 1, 2, 1]);
  });

  it('counts a message that the parser rejects as delivered, emits an error, and continues', async () => {
    const { server, client, errors, pass } = rig();
    const room = client.room('a', {
      parse: (value) => {
        if (value === 2) throw new Error('no two');
        return `p${value}`;
      },
    });
    const told = record(room);
    room.join();
    await pass(10);
    for (const data of [1, 2, 3]) server.publish('a', data);
    await pass(10);
    expect(told).toEqual(['joined', 'p1', 'p3']);
    expect(errors).toEqual(['parse_failed']);
    expect(room.position?.seq).toBe(3);
  });

  it.each([
    ['with', ['since'] as const],
    ['without', [] as const],
  ])('starts over if its position lies beyond the room, %s positions', async (_, features) => {
    const { server, client, pass } = rig({ features: [...features] });
    server.publish('a', 1);
    const room = client.room('a', { since: { epoch: 'e1', seq: 9 } });
    const told = record(room);
    room.join();
    await pass(10);
    server.publish('a', 2);
    await pass(10);
    expect(told).toEqual(['reset null 0', 'gap null-null reset', '2']);
  });

  it('resumes from the position of a rendered page', async () => {
    const { server, client, pass } = rig({ keeps: 10 });
    for (const data of [1, 2, 3]) server.publish('a', data);
    const room = client.room('a', { since: { epoch: 'e1', seq: 1 } });
    const told = record(room);
    room.join();
    await pass(10);
    expect(told).toEqual(['complete 2 2', '2', '3']);
  });
});

describe('leave()', () => {
  it('ends delivery at once, and resolves when the server has answered', async () => {
    const { server, room, told, pass } = await joined();
    server.publish('a', 'under way');
    const left = room.leave();
    expect(room.state).toBe('left');
    await pass(10);
    await left;
    server.publish('a', 'after');
    await pass(10);
    expect(told).toEqual(['joined', 'left: left']);
    expect(room.position).toBe(null);
    expect(server.socket.rooms.size).toBe(0);
  });

  it('is undone by a join in the same turn: nothing is sent, nothing is lost', async () => {
    const { server, room, told, pass } = await joined();
    void room.leave();
    void room.join();
    server.publish('a', 1);
    await pass(10);
    expect(told).toEqual(['joined', '1']);
    expect(server.socket.sent.map(({ type }) => type)).toEqual(['ping', 'join']);
  });

  it('is sent to the server before a listener of it joins again', async () => {
    const { server, room, told, errors, pass } = await joined();
    room.on('left', () => void room.join());
    void room.leave();
    await pass(10);
    expect(server.socket.sent.map(({ type }) => type)).toEqual(['ping', 'join', 'leave', 'join']);
    expect([told, errors]).toEqual([['joined', 'left: left', 'joined'], []]);
  });

  it('that is undone reports a message received in between as missing', async () => {
    const { server, room, told, pass } = await joined({ features: ['since'] });
    room.on('message', ({ data }) => {
      if (data !== 1) return;
      void Promise.resolve().then(() => room.join());
      void room.leave();
    });
    const [one, two, three] = [1, 2, 3].map((seq) => ({
      data: JSON.stringify({ type: 'message', room: 'a', seq, from: null, at: 0, data: seq }),
    }));
    // In one turn, as `ws` and SockJS deliver frames.
    for (const event of [one, two]) server.socket.onmessage?.(event as never);
    await pass(1);
    server.socket.onmessage?.(three as never);
    expect(told).toEqual(['joined', '1', 'gap 2-2 unannounced', '3']);
  });

  it('followed by a later join starts over', async () => {
    const { server, room, told, pass } = await joined({ keeps: 10 });
    server.publish('a', 1);
    await pass(10);
    void room.leave();
    await Promise.resolve();
    await Promise.resolve();
    server.publish('a', 2);
    void room.join();
    await pass(10);
    server.publish('a', 3);
    await pass(10);
    expect(told).toEqual(['joined', '1', 'left: left', 'joined', '3']);
  });

  it.each([0, 1, 2, 3])('while joining, %s ms later, leaves', async (ms) => {
    const { server, client, pass } = rig();
    const room = client.room('a');
    const told = record(room);
    const join = room.join();
    await pass(ms);
    const left = room.leave();
    await pass(10);
    await left;
    if (told.includes('joined')) await join;
    else await expect(join).rejects.toMatchObject({ code: 'left' });
    expect(server.socket.rooms.size).toBe(0);
    expect(told.at(-1)).toBe('left: left');
    // Its answer is not taken for that of a later join.
    void room.join();
    await pass(10);
    server.publish('a', 'x');
    await pass(10);
    expect(told.slice(-2)).toEqual(['joined', 'x']);
  });

  it('before the join is sent prevents the join', async () => {
    const { server, client, pass } = rig({ limits: { joinRate: 1 } });
    for (const name of ['a', 'b']) void client.room(name).join();
    await pass(10);
    void client.room('b').leave();
    await pass(5000);
    expect([...server.socket.rooms.keys()]).toEqual(['a']);
  });

  it('from a gap listener stops the events of the same frame', async () => {
    const { server, room, told, pass } = await joined({ features: ['since'] });
    room.on('gap', () => void room.leave());
    server.socket.say({ type: 'message', room: 'a', seq: 3, from: null, at: 0, data: 3 });
    await pass(10);
    expect(told).toEqual(['joined', 'gap 1-2 unannounced', 'left: left']);
  });

  it('from a listener stops the events that follow, of whatever frame', async () => {
    const { server, room, told, pass } = await joined();
    room.on('message', ({ data }) => {
      if (data === 2) void room.leave();
    });
    for (const data of [1, 2, 3]) server.publish('a', data);
    await pass(10);
    expect(told).toEqual(['joined', '1', '2', 'left: left']);
  });

  it('works without a connection', async () => {
    const { server, room, pass } = await joined();
    server.socket.drop();
    await pass(10);
    await room.leave();
    await pass(10_000);
    expect(server.socket.sent.map(({ type }) => type)).toEqual(['ping']);
  });
});

describe('a join that is refused', () => {
  it.each(['bad_room', 'bad_position', 'too_many_rooms', 'not_allowed', 'unauthorised'])(
    'with %s fails, and is not retried',
    async (code) => {
      const { server, client, errors, pass } = rig();
      server.answers.set('join', (socket, command) => server.refuse(socket, command, code));
      const room = client.room('a');
      const told = record(room);
      const refused = expect(room.join()).rejects.toMatchObject({ code, room: 'a' });
      await pass(100_000);
      await refused;
      expect(room.state).toBe('failed');
      expect(told).toEqual([`left: ${code}`]);
      expect(errors).toEqual([]);
      expect(server.socket.sent.filter(({ type }) => type === 'join')).toHaveLength(1);
      server.answers.clear();
      void room.join();
      await pass(10);
      expect(room.state).toBe('joined');
    },
  );

  it('with not_allowed is retried with the next token, unless the room was left', async () => {
    for (const leaves of [false, true]) {
      const { server, client, pass } = rig({ auth: 'optional' }, { getToken: () => 't' });
      server.tokens.add('t');
      server.answers.set('join', (socket, command) =>
        server.refuse(socket, command, 'not_allowed'),
      );
      const room = client.room('a');
      if (leaves) room.on('left', () => void room.leave());
      void room.join();
      await pass(100);
      server.answers.clear();
      server.socket.say({ type: 'expiring', inMs: 1 });
      await pass(100);
      expect(room.state).toBe(leaves ? 'failed' : 'joined');
      await client.close();
    }
  });

  it.each(['rate_limited', 'broker_unavailable', 'shutting_down', 'room_busy', 'of_tomorrow'])(
    'with %s is retried with pauses, and emits an error',
    async (code) => {
      const { server, client, errors, pass } = rig();
      server.answers.set('join', (socket, command) => server.refuse(socket, command, code));
      const joined = client.room('a').join();
      await pass(8000);
      expect(client.room('a').state).toBe('waiting');
      const tries = server.socket.sent.filter(({ type }) => type === 'join').length;
      expect([tries, errors.length]).toEqual([5, 5]);
      server.answers.clear();
      await pass(10_000);
      expect((await joined).recovery).toBe('first');
    },
  );

  it('starts again with the first pause after a successful join', async () => {
    const { server, client, pass } = rig();
    const refuse = () =>
      server.answers.set('join', (socket, command) => server.refuse(socket, command, 'room_busy'));
    refuse();
    void client.room('a').join();
    await pass(4000);
    server.answers.clear();
    await pass(10_000);
    expect(client.room('a').state).toBe('joined');
    refuse();
    server.socket.drop();
    await pass(600);
    server.answers.clear();
    await pass(500);
    expect(client.room('a').state).toBe('joined');
  });

  it('is not retried if another connection has joined meanwhile', async () => {
    const { server, client, pass } = rig();
    server.answers.set('join', (socket, command) => server.refuse(socket, command, 'room_busy'));
    void client.room('a').join();
    await pass(510);
    // The next retry is due in a second, the next connection in half a second.
    server.answers.clear();
    server.socket.drop();
    await pass(5000);
    expect(server.socket.sent.map(({ type }) => type)).toEqual(['ping', 'join']);
  });

  it('with already_joined leaves first and rejoins, so that the numbers are known', async () => {
    const { server, client, pass } = rig();
    await pass(10);
    server.socket.rooms.set('a', 0);
    void client.room('a').join();
    await pass(1000);
    expect(client.room('a').state).toBe('joined');
    expect(server.socket.sent.map(({ type }) => type)).toEqual(['ping', 'join', 'leave', 'join']);
  });

  it('because of a removal during leave() ends once', async () => {
    const { server, room, told } = await joined();
    void room.leave();
    server.socket.onmessage?.({
      data: JSON.stringify({ type: 'left', room: 'a', reason: 'revoked' }),
    } as never);
    await Promise.resolve();
    await Promise.resolve();
    expect(told).toEqual(['joined', 'left: left']);
  });

  it('after a later removal fails with the reason', async () => {
    const { server, room, told, pass } = await joined();
    const reader = events(room);
    const next = reader.next();
    server.socket.say({ type: 'left', room: 'a', reason: 'revoked' });
    const thrown = expect(next).rejects.toMatchObject({ code: 'revoked' });
    await pass(10_000);
    await thrown;
    expect([room.state, told.at(-1)]).toEqual(['failed', 'left: revoked']);
  });
});

describe('join()', () => {
  it('that is aborted leaves, unless other calls wait', async () => {
    const { server, client, pass } = rig();
    server.answers.set('join', () => {});
    const controller = new AbortController();
    const { signal } = controller;
    const one = client.room('a').join({ signal });
    const two = client.room('a').join();
    const three = client.room('b').join({ signal });
    await pass(10);
    controller.abort();
    await expect(one).rejects.toMatchObject({ code: 'aborted' });
    await expect(three).rejects.toMatchObject({ code: 'aborted' });
    expect([client.room('a').state, client.room('b').state]).toEqual(['joining', 'left']);
    await expect(client.room('c').join({ signal })).rejects.toMatchObject({ code: 'aborted' });
    void two;
  });

  it('of many rooms follows the join rate of the server, in order', async () => {
    const { server, client, pass } = rig({ limits: { joinRate: 10 } });
    const names = Array.from({ length: 25 }, (_, i) => `r${i}`);
    for (const name of names) void client.room(name).join();
    const sent = () =>
      server.socket.sent.filter(({ type }) => type === 'join').map(({ room }) => room);
    await pass(50);
    expect(sent()).toEqual(names.slice(0, 10));
    await pass(1000);
    expect(sent()).toEqual(names.slice(0, 20));
    await pass(1000);
    expect(sent()).toEqual(names);
    server.socket.drop();
    await pass(550);
    expect(sent()).toEqual(names.slice(0, 10));
    await pass(2000);
    expect(sent()).toEqual(names);
  });
});

describe('events()', () => {
  it('iterates over all events, and ends with the room', async () => {
    const { server, client, pass } = rig();
    const room = client.room('a');
    const seen: string[] = [];
    const loop = (async () => {
      for await (const event of events(room)) {
        seen.push(event.type === 'message' ? String(event.data) : event.type);
      }
    })();
    room.join();
    await pass(10);
    for (const data of [1, 2]) server.publish('a', data);
    await pass(10);
    void room.leave();
    await loop;
    expect(seen).toEqual(['joined', '1', '2']);
  });

  it('ends by break or by its signal, and leaves the room joined', async () => {
    const { server, room, pass } = await joined();
    const controller = new AbortController();
    const waiting = events(room, { signal: controller.signal }).next();
    const loop = (async () => {
      for await (const event of events(room)) if (event.type === 'message') break;
    })();
    server.publish('a', 1);
    await pass(10);
    await loop;
    await waiting;
    controller.abort();
    expect(room.state).toBe('joined');
    const stopped = events(room, { signal: AbortSignal.abort() });
    expect(await stopped.next()).toEqual({ done: true, value: undefined });
  });

  it('reports events that its reader was too slow for, before the next event', async () => {
    const { server, room, pass } = await joined();
    const reader = events(room, { buffer: 2 });
    for (const data of [1, 2, 3, 4, 5]) server.publish('a', data);
    await pass(10);
    const next = async () => (await reader.next()).value;
    expect(await next()).toEqual({ type: 'gap', from: 1, to: 3, count: 3, reason: 'consumer' });
    expect([(await next()).data, (await next()).data]).toEqual([4, 5]);
    server.publish('a', 6);
    await pass(10);
    expect((await next()).data).toBe(6);
  });

  it('reports an unknown loss if the epoch changed meanwhile', async () => {
    const { server, room, pass } = await joined();
    const reader = events(room, { buffer: 1 });
    server.publish('a', 1);
    await pass(10);
    server.renumber('a');
    for (const data of [2, 3]) server.publish('a', data);
    await pass(10);
    expect((await reader.next()).value).toEqual({
      type: 'gap',
      from: null,
      to: null,
      count: null,
      reason: 'consumer',
    });
    expect((await reader.next()).value).toMatchObject({ data: 3 });
  });

  it('gives each of two waiting readers one event', async () => {
    const { server, room, pass } = await joined();
    const reader = events(room);
    const both = Promise.all([reader.next(), reader.next(), reader.next()]);
    for (const data of [1, 2]) server.publish('a', data);
    await pass(10);
    await reader.return?.();
    const values = (await both).map(({ value }) => value?.data);
    expect(values).toEqual([1, 2, undefined]);
  });
});
