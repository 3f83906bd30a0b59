/** What watchers of a room are told, by a roster alone: whatever their speed, they end with the same list (V19). */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Event } from '../../src/protocol/events.js';
import type { Outbox } from '../../src/room/outbox.js';
import { Roster } from '../../src/room/roster.js';
import { DONE, type Watch } from '../../src/room/watch.js';
import type { Received } from '../support/fake-transport.js';
import { PresenceView } from '../support/presence.js';

/** A list of several pages. */
const INFO = { value: 'i'.repeat(5000), text: `"${'i'.repeat(5000)}"` };

class Watching {
  readonly watch = { rev: -1, at: 0, generation: 0 } as unknown as Watch;
  readonly view = new PresenceView();

  constructor(readonly roster: Roster) {
    roster.watch(this.watch);
  }

  /** Is told one thing, where there is any. */
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

it('tells that a user has left who had come again since the last round and left once more', () => {
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
    'churn',
  ),
  which: fc.nat(11),
});

it('every watcher ends with who is there, however far behind it was', () => {
  const seen = { diffs: 0, restarts: 0 };
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
        for (const { what, which } of steps) {
          const user = `u${which}`;
          if (what === 'enter') roster.enter(user, which % 2 === 0 ? INFO : undefined);
          if (what === 'leave') leave(roster, user);
          if (what === 'watch') all.push(new Watching(roster));
          if (what === 'round') roster.beginRound();
          if (what === 'next') all[which % Math.max(1, all.length)]?.next();
          if (what === 'churn' && which === 0) {
            // More than is noted.
            for (let n = 0; n < 1100; n += 1) {
              roster.enter('c', undefined);
              leave(roster, 'c');
            }
            seen.restarts += all.length;
          }
        }
        roster.beginRound();
        for (const watching of all) {
          for (let n = 0; watching.next(); n += 1) expect(n).toBeLessThan(100);
          const { view, watch } = watching;
          expect(view.mode).toBe(roster.mode);
          expect(view.counts).toEqual(roster.counts);
          expect(watch.at).toBe(DONE);
          if (roster.mode === 'count') continue;
          const there = roster.earliest(null, 100).map((entry) => entry.user);
          expect([...view.users.keys()].sort()).toEqual(there.sort());
          seen.diffs += 1;
        }
      },
    ),
    { numRuns: Number(process.env['ROOMCAST_TEST_RUNS'] ?? 300) },
  );
  for (const [what, count] of Object.entries(seen)) expect(count, what).toBeGreaterThan(20);
});
