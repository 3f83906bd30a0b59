/** What watchers are told, by a roster alone: at any speed, all end with the same list (V19). */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Event } from '../../src/protocol/events.js';
import type { Outbox } from '../../src/room/outbox.js';
import { Roster } from '../../src/room/roster.js';
import { DONE, type Watch } from '../../src/room/watch.js';
import type { Received } from '../support/fake-transport.js';
import { bytesInUse } from '../support/heap.js';
import { PresenceView } from '../support/presence.js';

/** A list of several pages. */
const INFO = { value: 'i'.repeat(5000), text: `"${'i'.repeat(5000)}"` };

class Watching {
  readonly watch = { rev: -1, at: 0, generation: 0 } as unknown as Watch;
  readonly view = new PresenceView();

  constructor(readonly roster: Roster) {
    roster.watch(this.watch);
  }

  /** Takes the next frame, if there is one. */
  next(): boolean {
    if (!this.roster.isBehind(this.watch)) return false;
    const outbox = {
      format: { index: 0, encode: (event: Event) => Buffer.from(JSON.stringify(event)) },
      kind: 0,
      transport: { framing: { join: ([frame]: readonly Buffer[]) => frame } },
    } as unknown as Outbox;
    const { bytes } = this.roster.next(this.watch).for(outbox);
    const event = JSON.parse(String(bytes)) as Received;
    this.view.hear(event);
    return true;
  }
}

function leave(roster: Roster, user: string): void {
  const entry = roster.of(user);
  if (entry === undefined) return;
  roster.exit(entry);
  if ((entry.here?.connections ?? 0) === 0) roster.remove(entry);
}

it('reports a user as left who joined and left again since the last round', () => {
  const roster = new Roster('a', {
    presence: 'users',
    presenceMaxUsers: 1000,
    presenceIntervalMs: 0,
    presenceLingerMs: 0,
  });
  const watching = new Watching(roster);
  const told = () => {
    roster.beginRound();
    while (watching.next());
    return [...watching.view.users.keys()];
  };
  roster.enter('u', undefined);
  expect(told()).toEqual(['u']);
  leave(roster, 'u');
  roster.enter('u', undefined);
  leave(roster, 'u');
  expect(told()).toEqual([]);
});

it('holds only the ids of users who left, until all watchers were told (V3)', async () => {
  const roster = new Roster('a', {
    presence: 'users',
    presenceMaxUsers: 10_000,
    presenceIntervalMs: 0,
    presenceLingerMs: 0,
  });
  const watching = new Watching(roster);
  const tell = () => {
    roster.beginRound();
    while (watching.next());
    roster.endRound();
  };
  tell();
  const idle = await bytesInUse();
  /** Each has different info. */
  const churn = (name: string, idBytes: number) => {
    for (let n = 0; n < 2000; n += 1) {
      // A copy: strings made by `padEnd` share most of their memory.
      const user = Buffer.alloc(idBytes, `${name}${n} `).toString('latin1');
      const value = { shown: `${user} ${'i'.repeat(5000)}` };
      roster.enter(user, { value, text: JSON.stringify(value) });
      leave(roster, user);
    }
  };
  churn('a', 500);
  // Their info would be 20 MB.
  expect((await bytesInUse()) - idle).toBeLessThan(2_000_000);
  const told = watching.view.events.length;
  tell();
  churn('b', 5000);
  const behind = await bytesInUse();
  tell();
  expect(watching.view.events).toHaveLength(told);
  // Frames of a round are dropped at the next.
  tell();
  // Its last 2,000 changes held the ids of 1,000 users, 5 MB.
  expect(behind - (await bytesInUse())).toBeGreaterThan(2_500_000);
});

const step = fc.record({
  what: fc.constantFrom(
    'enter',
    'enter',
    'enter',
    'leave',
    'leave',
    'watch',
    'next',
    'next',
    'round',
    'round',
    'end',
    'churn',
  ),
  which: fc.nat(11),
});

it('every watcher ends with the current list, however far behind it was', () => {
  const seen = { diffs: 0, restarts: 0, ends: 0 };
  fc.assert(
    fc.property(
      fc.array(step, { minLength: 20, maxLength: 80, size: 'max' }),
      fc.constantFrom(4, 1000),
      (steps, presenceMaxUsers) => {
        const roster = new Roster('a', {
          presence: 'users',
          presenceMaxUsers,
          presenceIntervalMs: 0,
          presenceLingerMs: 0,
        });
        const all: Watching[] = [];
        /** The test's own model: connections, and the latest info. */
        const there = new Map<string, { connections: number; info: unknown }>();
        let isCount = false;
        /** Too many to list, until they are a fifth fewer. */
        const judge = () => {
          if (there.size > presenceMaxUsers) isCount = true;
          if (there.size <= presenceMaxUsers * 0.8) isCount = false;
        };
        for (const { what, which } of steps) {
          const user = `u${which}`;
          if (what === 'enter') {
            const info =
              which % 2 === 0 ? { value: `${user} ${which}`, text: `"${user}"` } : undefined;
            roster.enter(user, which % 4 === 0 ? INFO : info);
            const connections = (there.get(user)?.connections ?? 0) + 1;
            there.set(user, { connections, info: which % 4 === 0 ? INFO.value : info?.value });
            judge();
          }
          if (what === 'leave') {
            leave(roster, user);
            const known = there.get(user);
            if (known) known.connections -= 1;
            if (known?.connections === 0) there.delete(user);
            judge();
          }
          if (what === 'watch') all.push(new Watching(roster));
          if (what === 'round') roster.beginRound();
          if (what === 'end' && !all.some(({ watch }) => roster.isBehind(watch))) {
            seen.ends += 1;
            roster.endRound();
          }
          if (what === 'next') all[which % Math.max(1, all.length)]?.next();
          if (what === 'churn' && which === 0) {
            // More changes than are noted.
            for (let n = 0; n < 1100; n += 1) {
              roster.enter('c', undefined);
              leave(roster, 'c');
            }
            if (there.size + 1 > presenceMaxUsers) isCount = true;
            judge();
            seen.restarts += all.length;
          }
        }
        roster.beginRound();
        for (const watching of all) {
          for (let n = 0; watching.next(); n += 1) expect(n).toBeLessThan(100);
          const { view, watch } = watching;
          expect(view.mode).toBe(isCount ? 'count' : 'users');
          let connections = 0;
          for (const each of there.values()) connections += each.connections;
          expect(view.counts).toEqual({ users: there.size, connections, anonymous: 0 });
          expect(watch.at).toBe(DONE);
          if (isCount) continue;
          const told = Array.from(view.users.values(), ({ user, info }) => [user, info]);
          const has = Array.from(there, ([user, { info }]) => [user, info]);
          expect(told.sort()).toEqual(has.sort());
          seen.diffs += 1;
        }
      },
    ),
    { numRuns: Number(process.env['ROOMCAST_TEST_RUNS'] ?? 300) },
  );
  for (const [what, count] of Object.entries(seen)) expect(count, what).toBeGreaterThan(20);
});
