/** The contract of `Board` in `src/broker/broker.ts`: all nodes have the same of who is in rooms, once nothing changes. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Board, Share } from '../../src/broker/broker.js';

export interface BoardCluster {
  readonly boards: readonly Board[];
  /** The node ends without a word, and its lease runs out. */
  kill(node: number): Promise<void>;
  /** What nodes tell each other is lost once, and they may find out. */
  cut?(): Promise<void>;
  close(): Promise<void>;
}

/** One node: what it has, and what it was told that others have. */
class View {
  readonly own = new Map<string, Map<string | null, Share>>();
  readonly others = new Map<string, Map<string, Map<string | null, Share>>>();
  isDead = false;

  constructor(readonly board: Board) {
    board.attach({
      told: (room, node, shares, isWhole) => {
        const nodes = this.others.get(room) ?? new Map();
        this.others.set(room, nodes);
        const of = isWhole ? new Map() : (nodes.get(node) ?? new Map());
        nodes.set(node, of);
        for (const share of shares) {
          if (share.connections === null) of.delete(share.user);
          else of.set(share.user, share);
        }
      },
      gone: (node) => {
        for (const nodes of this.others.values()) nodes.delete(node);
      },
      own: (room) => this.own.get(room)?.values() ?? [],
      rooms: () => this.own.keys(),
    });
  }

  set(room: string, user: string | null, connections: number | null): void {
    let shares = this.own.get(room);
    if (shares === undefined) {
      if (connections === null) return;
      shares = new Map();
      this.own.set(room, shares);
      this.board.enter(room);
    }
    const info = JSON.stringify({ of: user });
    const share = { user, connections, since: 1, at: 2, ...(user && { info }) };
    if (connections === null) shares.delete(user);
    else shares.set(user, share);
    this.board.tell(room, [share]);
    if (shares.size > 0) return;
    this.own.delete(room);
    if (this.board.leave(room)) this.others.delete(room);
  }

  /** What others have of a room, as text to be compared. */
  in(room: string): string[] {
    const nodes = [...(this.others.get(room)?.values() ?? [])];
    return textOf(nodes.flatMap((shares) => [...shares.values()]));
  }
}

/** Nobody without a user is as good as nothing, and may be told or not. */
const isNobody = ({ user, connections }: Share) => user === null && connections === 0;

const textOf = (shares: readonly Share[]) =>
  shares
    .filter((share) => !isNobody(share))
    .map((share) => JSON.stringify(share))
    .sort();

export function boardContract(
  name: string,
  start: (nodes: number) => Promise<BoardCluster>,
  { runs }: { runs: number },
): void {
  const open = async (nodes: number) => {
    const cluster = await start(nodes);
    return { cluster, views: cluster.boards.map((board) => new View(board)) };
  };
  /** Whoever is in a room has all that the others have there. */
  const agree = (views: readonly View[], rooms: readonly string[]) =>
    expect
      .poll(
        () =>
          views
            .filter(({ isDead }) => !isDead)
            .flatMap((view) => {
              return rooms.flatMap((room) => {
                if (!view.own.has(room)) return [];
                const living = views.filter((other) => other !== view && !other.isDead);
                const have = living.flatMap(({ own }) => [...(own.get(room)?.values() ?? [])]);
                return [[view.in(room), textOf(have)]];
              });
            })
            .filter(([has, should]) => JSON.stringify(has) !== JSON.stringify(should)),
        { interval: 5 },
      )
      .toEqual([]);

  describe(`the contract of a board: ${name}`, () => {
    it('tells what others have, those who come later too, and what has gone', async () => {
      const { cluster, views } = await open(3);
      const [a, b, c] = views as [View, View, View];
      a.set('room', 'ann', 1);
      a.set('room', null, 2);
      b.set('room', 'ben', 1);
      await agree(views, ['room']);
      expect(b.in('room')).toHaveLength(2);
      c.set('room', '漢 "字"', 1);
      await agree(views, ['room']);
      expect(c.in('room')).toHaveLength(3);
      a.set('room', 'ann', 2);
      a.set('room', null, null);
      await agree(views, ['room']);
      expect(c.in('room')).toHaveLength(2);
      a.set('room', 'ann', null);
      b.set('room', 'ben', null);
      await agree(views, ['room']);
      expect(c.in('room')).toEqual([]);
      await cluster.close();
    });

    it('knows of rooms that nobody of the node is in, or can be asked', async () => {
      const { cluster, views } = await open(2);
      const [a, b] = views as [View, View];
      a.set('room', 'ann', 1);
      const asked = async () => {
        if (b.board.read === undefined) return b.in('room');
        return textOf((await b.board.read('room')).flatMap(([, shares]) => [...shares]));
      };
      await expect.poll(asked, { interval: 5 }).toEqual(textOf([...a.own.get('room')!.values()]));
      await cluster.close();
    });

    it('takes with a node that has gone all that it had, and nothing else', async () => {
      const { cluster, views } = await open(3);
      for (const [i, view] of views.entries()) {
        view.set('room', 'all', 1);
        view.set('room', `only ${i}`, 1);
      }
      await agree(views, ['room']);
      (views[1] as View).isDead = true;
      await cluster.kill(1);
      await agree(views, ['room']);
      expect(views[0]?.in('room')).toHaveLength(2);
      await cluster.close();
    });

    it('tells the same to all, whatever changes', async () => {
      const rooms = ['a', '__proto__'];
      const step = fc.record({
        node: fc.nat(2),
        room: fc.constantFrom(...rooms),
        user: fc.constantFrom('u', 'v', 'w', null),
        connections: fc.constantFrom(null, null, 0, 1, 2),
        what: fc.constantFrom('set', 'set', 'set', 'set', 'set', 'agree', 'cut'),
      });
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
          const { cluster, views } = await open(3);
          for (const { node, room, user, connections, what } of steps) {
            if (what === 'set') (views[node] as View).set(room, user, connections);
            else if (what === 'agree') await agree(views, rooms);
            else await cluster.cut?.();
          }
          await agree(views, rooms);
          await cluster.close();
        }),
        { numRuns: runs },
      );
    }, 60_000);
  });
}
