/** Which rooms are queried over a link, what is queried, and when, on a virtual clock. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Position } from '../../../src/broker/broker.js';
import { Keys } from '../../../src/broker/redis/keys.js';
import type { Link } from '../../../src/broker/redis/link.js';
import { READ } from '../../../src/broker/redis/log-scripts.js';
import { LOOK, type Script } from '../../../src/broker/redis/scripts.js';
import { Subscriptions } from '../../../src/broker/redis/subscriptions.js';

const keys = new Keys('c');
const never = () => new AbortController().signal;
/** The window in which nodes resume. */
const SPREAD_MS = 500;

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** A fake Redis in which every room is at 5 and every log is empty. */
class FakeLink {
  readonly isOpen = true;
  readonly channels: string[] = [];
  /** Number of position queries. */
  asked = 0;
  /** Number of log reads. */
  read = 0;
  /** Channels are confirmed once this resolves. */
  confirms = Promise.resolve();
  constructor(readonly seq: number) {}
  async subscribe(channels: readonly string[]): Promise<void> {
    this.channels.push(...channels);
    await this.confirms;
  }
  async unsubscribe(): Promise<void> {}
  async run(script: Script, names: readonly string[]): Promise<unknown> {
    if (script === READ) {
      this.read += 1;
      return ['e', `${this.seq}`, '', 0];
    }
    this.asked += 1;
    if (script === LOOK) return names.slice(1).map((_, i) => i + 1);
    return names.slice(1).flatMap((_, i) => (i % 3 ? [] : [[i / 3 + 1, 'e', `${this.seq}`, '']]));
  }
}

function rooms(sizeOf = (_room: string) => 0) {
  const lost: [string, number, number][] = [];
  const subscriptions = new Subscriptions({
    keys,
    idleRoomMs: 1000,
    sizeOf,
    roomsPerSecond: 1000,
    events: {
      deliver() {},
      reset() {},
      lost: (...told) => lost.push(told),
      duplicate() {},
      backfilled() {},
      unreadable() {},
    },
    barrier: async () => {},
    live() {},
    unreadable() {},
  });
  const attach = async (seq: number) => {
    const link = new FakeLink(seq);
    void subscriptions.attach(link as unknown as Link);
    await vi.advanceTimersByTimeAsync(0);
    return link;
  };
  return { subscriptions, attach, lost };
}

describe('rooms over a new link', () => {
  it('are not opened if they were unsubscribed meanwhile', async () => {
    const { subscriptions, attach } = rooms();
    const answer = subscriptions.subscribe('gone', never()) as Promise<unknown>;
    const refused = expect(answer).rejects.toMatchObject({ code: 'broker_unavailable' });
    subscriptions.unsubscribe('gone');
    // Longer than the linger time.
    await vi.advanceTimersByTimeAsync(6000);
    const stays = subscriptions.subscribe('stays', never());
    const link = await attach(0);
    expect(link.channels).toEqual([keys.channel('stays')]);
    expect(await stays).toEqual({ epoch: 'e', seq: 0 });
    await refused;
    subscriptions.close();
  });

  it('are answered also for a waiter whose room was then subscribed with a position', async () => {
    const { subscriptions, attach } = rooms();
    const first = subscriptions.subscribe('r', never());
    const second = subscriptions.subscribe('r', never(), { epoch: 'e', seq: 5 });
    await attach(5);
    expect(await first).toEqual({ epoch: 'e', seq: 5 });
    expect(await second).toEqual({ epoch: 'e', seq: 5 });
    subscriptions.close();
  });

  it('are queried after their channel is confirmed, even if another caller requested it', async () => {
    const { subscriptions, attach } = rooms();
    const link = await attach(5);
    let confirm: () => void = () => {};
    link.confirms = new Promise((resolve) => {
      confirm = resolve;
    });
    const order: string[] = [];
    const come = async (who: string, since?: Position) => {
      await subscriptions.subscribe('r', never(), since);
      order.push(who);
    };
    const first = come('first');
    await vi.advanceTimersByTimeAsync(1);
    const second = come('second', { epoch: 'e', seq: 2 });
    await vi.advanceTimersByTimeAsync(1);
    expect([link.channels, link.asked]).toEqual([[keys.channel('r')], 0]);
    confirm();
    await Promise.all([first, second]);
    // One query for the first; two for the second: LOOK and OPEN.
    expect([link.asked, order]).toEqual([3, ['first', 'second']]);
    subscriptions.close();
  });

  it('resume within half a second with jitter; new rooms do not wait for it', async () => {
    const { subscriptions, attach } = rooms();
    const random = vi.spyOn(Math, 'random').mockReturnValue(0.5);
    void subscriptions.subscribe('r', never());
    await attach(0);
    subscriptions.detach();
    void subscriptions.subscribe('new', never());
    const link = await attach(0);
    expect(link.channels).toEqual([keys.channel('new')]);
    await vi.advanceTimersByTimeAsync(SPREAD_MS / 2 - 1);
    expect(link.channels).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(link.channels).toEqual([keys.channel('new'), keys.channel('r')]);
    random.mockRestore();
    subscriptions.close();
  });

  it('resume with most members first, within the rate limit', async () => {
    const sizes: Record<string, number> = { small: 1, large: 900, none: 0, middle: 30 };
    const { subscriptions, attach } = rooms((room) => sizes[room] ?? 1);
    vi.spyOn(Math, 'random').mockReturnValue(0);
    const names = [...Object.keys(sizes), ...Array.from({ length: 250 }, (_, n) => `other ${n}`)];
    for (const room of names) void subscriptions.subscribe(room, never());
    await attach(5);
    subscriptions.detach();
    // 1,000 a second, in parts of a tenth.
    const link = await attach(5);
    await vi.advanceTimersByTimeAsync(1);
    expect(link.channels.slice(0, 3)).toEqual(
      ['large', 'middle', 'small'].map((r) => keys.channel(r)),
    );
    expect(link.channels).toHaveLength(100);
    await vi.advanceTimersByTimeAsync(98);
    expect(link.channels).toHaveLength(100);
    await vi.advanceTimersByTimeAsync(200);
    expect(link.channels).toHaveLength(254);
    expect(link.channels.at(-1)).toBe(keys.channel('none'));
    subscriptions.close();
  });

  it('are not resumed over a link that has ended, nor if dropped meanwhile', async () => {
    const { subscriptions, attach } = rooms();
    vi.spyOn(Math, 'random').mockReturnValue(0);
    for (let n = 0; n < 300; n += 1) void subscriptions.subscribe(`${n}`, never());
    await attach(5);
    subscriptions.detach();
    const second = await attach(5);
    await vi.advanceTimersByTimeAsync(1);
    subscriptions.detach();
    await vi.advanceTimersByTimeAsync(1000);
    expect(second.channels).toHaveLength(100);
    for (let n = 150; n < 300; n += 1) subscriptions.unsubscribe(`${n}`);
    const third = await attach(5);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(third.channels).toEqual(
      expect.arrayContaining([keys.channel('0'), keys.channel('149')]),
    );
    expect(subscriptions.suspended).toBe(0);
    subscriptions.close();
  });

  it('read what they missed, but report it as lost after a second disconnect within a minute', async () => {
    const { subscriptions, attach, lost } = rooms();
    vi.spyOn(Math, 'random').mockReturnValue(0);
    void subscriptions.subscribe('r', never());
    await attach(5);
    const cut = async (seq: number, afterMs: number) => {
      await vi.advanceTimersByTimeAsync(afterMs);
      subscriptions.detach();
      const link = await attach(seq);
      await vi.advanceTimersByTimeAsync(10);
      expect(subscriptions.isLive('r')).toBe(true);
      return link.read;
    };
    expect(await cut(7, 1000)).toBe(1);
    expect(await cut(9, 59_000)).toBe(0);
    expect(await cut(9, 59_000)).toBe(0);
    expect(await cut(12, 61_000)).toBe(1);
    expect(lost).toEqual([
      ['r', 7, 2],
      ['r', 9, 2],
      ['r', 12, 3],
    ]);
    subscriptions.close();
  });
});
