/** `close()` releases everything, whatever it interrupts. Also listeners. */
import { getEventListeners, setMaxListeners } from 'node:events';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { events } from '../../client/src/events.js';
import type { LifecycleEvent, RoomcastError } from '../../client/src/index.js';
import { presence } from '../../client/src/presence.js';
import { rig } from './rig.js';

/** The events before the close, and how far each gets: timers, then microtask turns. */
const schedule = fc.record({
  begin: fc.array(
    fc.tuple(
      fc.constantFrom(
        ...['lose', 'drop', 'evict', 'expire', 'die', 'ping', 'leave', 'join'],
        ...['freeze', 'resume', 'offline', 'online', 'hidden', 'visible'],
      ),
      fc.integer({ min: 0, max: 8 }),
    ),
    { maxLength: 5 },
  ),
  steps: fc.integer({ min: 0, max: 14 }),
  ticks: fc.integer({ min: 0, max: 8 }),
});

/** Lost connections: between two attempts the client waits, which other schedules rarely come to. */
const between = [1, 2, 3].map((times) => ({
  begin: [['resume', 6] as [string, number], ['drop', times] as [string, number]],
  steps: 0,
  ticks: 2,
}));

describe('close()', () => {
  it('releases everything, whichever await it interrupts', async () => {
    const seen = new Map<string, number>();
    await fc.assert(
      fc.asyncProperty(schedule, fc.boolean(), async ({ begin, steps, ticks }, isByListener) => {
        const calls = { token: 0, load: 0 };
        const soon = <T>(value: T) =>
          new Promise<T>((resolve) => void setTimeout(resolve, 2, value));
        const unwatch = vi.fn();
        let happen = (_: LifecycleEvent): void => {};
        const { server, client, pass } = rig(
          { auth: 'optional', keeps: 3, queue: 1, limits: { joinRate: 1 } },
          {
            getToken() {
              calls.token += 1;
              return soon('t');
            },
            lifecycle: {
              watch(on) {
                happen = on;
                return unwatch;
              },
            },
          },
        );
        server.tokens.add('t');
        const { signal } = new AbortController();
        setMaxListeners(0, signal);
        const load = () => {
          calls.load += 1;
          return soon(undefined);
        };
        const room = client.room('a', { load });
        const told: string[] = [];
        for (const type of ['joined', 'message', 'gap', 'left'] as const) {
          room.on(type, () => told.push(type), { signal });
        }
        client.on('state', ({ state }) => told.push(state), { signal });
        presence(room).on('change', () => {}, { signal });
        const ends: Promise<unknown>[] = [
          room.join({ signal }),
          // Waits behind the first because of the server's join rate.
          client.room('b').join({ signal }),
          room.publish(1, { signal }),
          client.room('c').publish(2, { signal }),
          events(room, { signal }).next(),
        ];
        for (const [what, times] of begin) {
          const { socket } = server;
          if (what === 'lose') {
            if (!socket) continue;
            server.stall();
            for (const data of [1, 2, 3]) server.publish('a', data);
            server.resume();
          } else if (what === 'drop') socket?.drop();
          else if (what === 'evict') socket?.evict(4200);
          else if (what === 'expire') socket?.say({ type: 'expiring', inMs: 1 });
          else if (what === 'die') {
            if (socket) socket.isDead = true;
          } else if (what === 'ping') ends.push(client.ping({ signal }));
          else if (what === 'leave') ends.push(client.room('b').leave());
          else if (what === 'join') ends.push(room.join({ signal }));
          else happen(what as LifecycleEvent);
          for (let n = 0; n < times; n += 1) await vi.advanceTimersToNextTimerAsync();
        }
        for (let n = 0; n < steps; n += 1) await vi.advanceTimersToNextTimerAsync();
        for (let n = 0; n < ticks; n += 1) await undefined;
        const at = `${client.state}, room ${room.state}`;
        seen.set(at, (seen.get(at) ?? 0) + 1);
        if (isByListener) {
          // In the middle of whatever comes next.
          const off = room.on('message', () => void client.close());
          client.on('state', () => void client.close());
          await pass(40_000);
          off();
        }
        await client.close();
        const before = [server.opened.length, calls.token, calls.load, told.length];
        const sent = server.sockets.map(({ sent }) => sent.length);
        // Actions that the app and the server had in progress.
        await pass(5);
        expect(vi.getTimerCount()).toBe(0);
        await Promise.allSettled(ends);
        expect(getEventListeners(signal, 'abort')).toEqual([]);
        expect(unwatch).toHaveBeenCalledTimes(1);
        expect(client.state).toBe('closed');
        expect(server.sockets.filter(({ closedWith }) => closedWith === undefined)).toEqual([]);
        happen('resume');
        client.open();
        await pass(100_000);
        expect([server.opened.length, calls.token, calls.load, told.length]).toEqual(before);
        expect(server.sockets.map(({ sent }) => sent.length)).toEqual(sent);
        vi.useRealTimers();
      }),
      { numRuns: 200, examples: between.map((schedule) => [schedule, false]) },
    );
    // It was closed in each state.
    const states = [...seen.keys()].map((at) => at.split(', room '));
    expect(states.map(([client]) => client)).toEqual(
      expect.arrayContaining(['connecting', 'online', 'waiting', 'suspended']),
    );
    expect(states.map(([, room]) => room)).toEqual(
      expect.arrayContaining(['joining', 'joined', 'waiting']),
    );
  });

  it('at once requests nothing: no token, no socket', async () => {
    const getToken = vi.fn(() => 't');
    const { server, client, pass } = rig({}, { getToken });
    await client.close();
    await pass(100);
    expect([getToken.mock.calls.length, server.opened.length]).toEqual([0, 0]);
  });

  it('rejects every later call, and leaves no listeners on signals', async () => {
    const { client, pass } = rig();
    await pass(10);
    await client.close();
    const room = client.room('b');
    const { signal } = new AbortController();
    await expect(room.join({ signal })).rejects.toMatchObject({ code: 'closed' });
    await expect(room.publish(1, { signal })).rejects.toMatchObject({ code: 'closed' });
    await expect(client.ping({ signal })).rejects.toMatchObject({ code: 'closed' });
    expect(await events(room, { signal }).next()).toEqual({ done: true, value: undefined });
    await room.leave();
    expect(getEventListeners(signal, 'abort')).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('returns the same promise each time, and nothing opens again', async () => {
    const { server, client, states, pass } = rig();
    await pass(10);
    expect(client.close()).toBe(client.close({ drainMs: 1000 }));
    client.open();
    await pass(100_000);
    expect(states).toEqual(['online', 'closed closed']);
    expect(server.sockets).toHaveLength(1);
  });

  it('waits for pending publishes, up to the given time', async () => {
    const { server, client, pass } = rig({ latencyMs: 50 });
    const room = client.room('a');
    void room.join();
    await pass(300);
    const answered = room.publish(1);
    const closed = client.close({ drainMs: 1000 });
    await pass(101);
    expect(await answered).toEqual({ seq: 1 });
    await closed;
    expect(client.state).toBe('closed');
    expect(server.socket.closedWith).toBe(1000);
  });

  it('gives up publishes without an answer by then', async () => {
    const { server, client, pass } = rig();
    const room = client.room('a');
    void room.join();
    await pass(100);
    server.answers.set('publish', () => {});
    const lost = expect(room.publish(1)).rejects.toMatchObject({ code: 'closed' });
    const closed = client.close({ drainMs: 500 });
    await pass(499);
    expect(client.state).toBe('online');
    await pass(2);
    await Promise.all([lost, closed]);
  });
});

describe('listeners', () => {
  it('that throw do not affect other listeners, and are reported as errors', async () => {
    const { client, errors, pass } = rig();
    const told: string[] = [];
    client.on('state', () => {
      throw new Error('mine');
    });
    client.on('state', ({ state }) => told.push(state));
    await pass(10);
    expect([told, errors]).toEqual([['online'], ['handler_failed']]);
  });

  it('that throw are reported with the message of what they threw', async () => {
    const { client, pass } = rig();
    const messages: string[] = [];
    client.on('error', ({ message }) => messages.push(message));
    client.on('state', () => {
      throw new Error('no element #state');
    });
    await pass(10);
    expect(messages).toEqual(['handler_failed: no element #state']);
  });

  it('of errors that throw go to the console, like errors without a listener', async () => {
    const log = vi.spyOn(console, 'error').mockImplementation(() => {});
    onTestFinished(() => log.mockRestore());
    const { client, server, pass } = rig();
    client.on('error', () => {
      throw new Error('mine too');
    });
    await pass(10);
    server.socket.say({ type: 'error', code: 'bad_json', message: '' });
    await pass(10);
    expect(log.mock.calls.map(([error]) => (error as RoomcastError).code)).toEqual([
      'handler_failed',
    ]);
  });

  it('are removed by close(), for the client, its rooms and their presence', async () => {
    const { client, pass } = rig();
    const room = client.room('a');
    const { signal } = new AbortController();
    for (const type of ['state', 'error'] as const) client.on(type, () => {}, { signal });
    for (const type of ['message', 'left'] as const) room.on(type, () => {}, { signal });
    presence(room).on('change', () => {}, { signal });
    void room.join();
    await pass(10);
    expect(getEventListeners(signal, 'abort')).toHaveLength(5);
    await client.close();
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });

  it('that another listener removes or adds are not called for the same event', async () => {
    const { client, pass } = rig();
    const told: string[] = [];
    client.on('state', () => {
      told.push('first');
      off();
      client.on('state', () => told.push('new'));
    });
    const off = client.on('state', () => told.push('taken off'));
    await pass(10);
    expect(told).toEqual(['first']);
  });

  it('are removed by their function and by a signal', async () => {
    const { client, pass } = rig();
    const told: string[] = [];
    const controller = new AbortController();
    const off = client.on('state', () => told.push('off'));
    client.on('state', () => told.push('signal'), { signal: controller.signal });
    client.on('state', () => told.push('aborted'), { signal: AbortSignal.abort() });
    off();
    controller.abort();
    await pass(10);
    expect(told).toEqual([]);
  });
});
