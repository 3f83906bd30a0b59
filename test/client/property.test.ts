/**
 * Received + gaps = published between join and leave, under lost connections, server restarts, stalls,
 * evictions, missing tokens, leaves and rejoins. `CLIENT_SCHEDULES=10000` runs 10,000 schedules. With
 * sockets and a real server: `sockets.test.ts`.
 */
import fc from 'fast-check';
import { afterEach, expect, it, vi } from 'vitest';
import { healing } from '../../client/src/backfill.js';
import { events } from '../../client/src/events.js';
import { connect, type LifecycleEvent } from '../../client/src/index.js';
import type { Feature } from '../../client/src/wire.js';
import { ScriptedServer } from './scripted-server.js';
import { Witness, witnessed } from './witness.js';

const SCHEDULES = Number(process.env['CLIENT_SCHEDULES'] ?? 300);

/** Lifecycle events of the page. */
const PAGE = ['freeze', 'resume', 'hidden', 'visible', 'offline', 'online'] as const;

const action = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('publish' as const),
      n: fc.integer({ min: 1, max: 9 }),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('pass' as const),
      n: fc.integer({ min: 1, max: 3000 }),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constantFrom(
        'drop',
        'stall',
        'resume',
        'leave',
        'join',
        'rejoin',
        'renumber',
        'restart',
        'dead',
        'down',
        'say',
      ) as fc.Arbitrary<'drop'>,
      n: fc.constant(0),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('happens' as const),
      n: fc.nat(PAGE.length - 1),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('evict' as const),
      n: fc.constantFrom(4101, 4102, 4103, 4105, 4106, 4199, 4200, 4201, 1012),
    }),
  },
) as fc.Arbitrary<{ do: string; n: number }>;

const setting = fc.record({
  features: fc.subarray<Feature>(['since', 'history', 'uid', 'auth']),
  keeps: fc.constantFrom(0, 3, 50),
  queue: fc.constantFrom(1, 4, 100),
  latencyMs: fc.constantFrom(1, 2, 30),
  heals: fc.boolean(),
  buffer: fc.constantFrom(1, 3, 1000),
  seed: fc.integer({ min: 1, max: 2 ** 31 - 2 }),
});

afterEach(() => {
  vi.useRealTimers();
});

it(`received + gaps = published between join and leave, over ${SCHEDULES} schedules`, async () => {
  const seen = { messages: 0, missing: 0, resets: 0, recovered: 0 };
  await fc.assert(
    fc.asyncProperty(
      setting,
      fc.array(action, { minLength: 5, maxLength: 40 }),
      async (set, actions) => {
        vi.useFakeTimers({ now: 1_000_000 });
        const server = new ScriptedServer({ ...set, auth: 'optional' });
        server.tokens.add('t');
        let drawn = set.seed;
        let happen = (_: LifecycleEvent): void => {};
        const lifecycle = {
          watch(on: typeof happen) {
            happen = on;
            return () => {};
          },
        };
        const client = connect('ws://server/ws', {
          WebSocket: server.open,
          lifecycle,
          getToken: () => 't',
          random: () => {
            drawn = (drawn * 48_271) % 2_147_483_647;
            return drawn / 2_147_483_647;
          },
          ...(set.heals && { healing }),
        });
        // Each message contains the sequence number it is published under.
        const publish = () => {
          const { epoch, seq } = server.room('a');
          server.publish('a', `${epoch}:${seq + 1}`);
        };
        const room = client.room('a');
        client.on('error', () => {});
        room.on('joined', ({ recovery }) => {
          if (recovery === 'complete' || recovery === 'partial') seen.recovered += 1;
        });
        const witness = new Witness(room, ({ seq, data }, epoch) => data === `${epoch}:${seq}`);
        const loops: Promise<string[]>[] = [];
        const enter = () => {
          if (room.state === 'joined') return;
          const reader = events(room, { buffer: set.buffer });
          loops.push(witnessed(reader, () => new Promise((resolve) => setTimeout(resolve, 7))));
          void room.join();
        };
        enter();
        for (const { do: what, n } of actions) {
          if (what === 'publish') for (let i = 0; i < n; i += 1) publish();
          else if (what === 'pass') await vi.advanceTimersByTimeAsync(n);
          else if (what === 'drop') server.socket?.drop();
          else if (what === 'happens') happen(PAGE[n] as LifecycleEvent);
          else if (what === 'evict') server.socket?.evict(n, n === 4200 ? 500 : undefined);
          else if (what === 'stall') server.socket && server.stall();
          else if (what === 'resume') server.socket && server.resume();
          else if (what === 'leave') void room.leave();
          else if (what === 'join') enter();
          else if (what === 'rejoin') {
            void room.leave();
            void room.join();
          } else if (what === 'renumber') server.renumber('a');
          else if (what === 'restart') server.restart();
          else if (what === 'dead') {
            if (server.socket) server.socket.isDead = true;
          } else if (what === 'down') server.isUp = !server.isUp;
          else if (what === 'say') server.socket?.say({ type: 'pong', id: 12_345 });
        }
        // From here on there are no faults, and everything must have been reported.
        server.isUp = true;
        happen('resume');
        happen('visible');
        enter();
        void room.join();
        for (const socket of server.sockets) server.resume(socket);
        await vi.advanceTimersByTimeAsync(120_000);
        publish();
        await vi.advanceTimersByTimeAsync(5000);
        expect(witness.faults).toEqual([]);
        expect(room.state).toBe('joined');
        const { epoch, seq } = server.room('a');
        expect([room.position, witness.last]).toEqual([{ epoch, seq }, seq]);
        await client.close();
        await vi.advanceTimersByTimeAsync(60_000);
        expect(vi.getTimerCount()).toBe(0);
        expect((await Promise.all(loops)).flat()).toEqual([]);
        seen.messages += witness.messages;
        seen.missing += witness.missing;
        seen.resets += witness.resets;
      },
    ),
    { numRuns: SCHEDULES, ...(SCHEDULES > 1000 && { endOnFailure: false }) },
  );
  if (SCHEDULES > 1000) console.log(seen);
  // Verifies that the schedules had effects.
  for (const count of Object.values(seen)) expect(count).toBeGreaterThan(SCHEDULES / 10);
}, 1_200_000);
