/** Calls that the owner of a room makes to its broker, when they end, and what it answers. */
import { describe, expect, it } from 'vitest';
import type { Broker, Position, Publication } from '../../../src/broker/broker.js';
import { Place, type Way } from '../../../src/broker/mesh/guests.js';
import { Owner } from '../../../src/broker/mesh/owner.js';

const way: Way = {
  isFull: false,
  opened() {},
  message() {},
  lost() {},
  reset() {},
  shed() {},
  count() {},
};

/** An unreachable broker: its calls end only by their signals. */
class Away {
  readonly subscribes: AbortSignal[] = [];
  readonly settles: { signal: AbortSignal; done: () => void }[] = [];
  onDeliver(): void {}
  onLost(): void {}
  onReset(): void {}
  unsubscribe(): void {}
  subscribe(_: string, signal: AbortSignal): Promise<Position> {
    this.subscribes.push(signal);
    return new Promise((_, reject) =>
      signal.addEventListener('abort', () => reject(signal.reason)),
    );
  }
  settled(_: string, signal: AbortSignal): Promise<void> {
    return new Promise((done) => {
      this.settles.push({ signal, done });
      signal.addEventListener('abort', () => done());
    });
  }
}

function away() {
  const broker = new Away();
  return { broker, owner: new Owner(broker as unknown as Broker) };
}

describe('an owner whose broker does not answer', () => {
  it('aborts its calls for a room when the last subscriber leaves', async () => {
    const { broker, owner } = away();
    const [one, two] = [1, 2].map((number) => new Place('r', way, number)) as [Place, Place];
    const opened = [one, two].map((place) => owner.open(place) as Promise<Position>);
    const ends = Promise.allSettled(opened);
    owner.close(one);
    expect(broker.subscribes.map(({ aborted }) => aborted)).toEqual([false, false]);
    owner.close(two);
    expect(broker.subscribes.map(({ aborted }) => aborted)).toEqual([true, true]);
    expect((await ends).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(owner.rooms).toBe(0);
    // A later subscriber causes a new call.
    void (owner.open(new Place('r', way, 3)) as Promise<Position>).catch(() => {});
    expect(broker.subscribes.map(({ aborted }) => aborted)).toEqual([true, true, false]);
    owner.end();
    expect(broker.subscribes.map(({ aborted }) => aborted)).toEqual([true, true, true]);
  });

  it('makes at most two settled calls, however many callers wait', async () => {
    const { broker, owner } = away();
    const place = new Place('r', way, 1);
    void (owner.open(place) as Promise<Position>).catch(() => {});
    const answers = Array.from({ length: 100 }, () => owner.settled('r'));
    expect(broker.settles).toHaveLength(1);
    broker.settles[0]?.done();
    await answers[0];
    await expect.poll(() => broker.settles.length).toBe(2);
    // A later caller is not answered by the earlier call.
    answers.push(owner.settled('r'));
    broker.settles[1]?.done();
    await Promise.all(answers.slice(0, 100));
    await expect.poll(() => broker.settles.length).toBe(3);
    owner.close(place);
    expect(broker.settles[2]?.signal.aborted).toBe(true);
    await Promise.all(answers);
    expect(owner.settled('r')).toBe(undefined);
  });
});

/** A broker that answers and delivers when the test says so. */
class Slow {
  readonly answers: ((position: Position) => void)[] = [];
  deliver: (publication: Publication) => void = () => {};
  reset: (room: string, position: Position, was: Position) => void = () => {};
  onDeliver(deliver: Slow['deliver']): void {
    this.deliver = deliver;
  }
  onReset(reset: Slow['reset']): void {
    this.reset = reset;
  }
  onLost(): void {}
  unsubscribe(): void {}
  subscribe(): Promise<Position> {
    return new Promise((resolve) => this.answers.push(resolve));
  }
  message(epoch: string, seq: number): void {
    this.deliver({ room: 'r', epoch, seq, at: 0, data: '0', from: null });
  }
}

describe('an owner that gets deliveries before the answer of its broker', () => {
  /** A subscriber without a position, then one with a position, from which the broker delivers. */
  const start = () => {
    const broker = new Slow();
    const owner = new Owner(broker as unknown as Broker);
    const told: string[] = [];
    const telling: Way = {
      ...way,
      message: (_, { epoch, seq }) => told.push(`${epoch} ${seq}`),
      reset: (_, { epoch, seq }) => told.push(`reset ${epoch} ${seq}`),
    };
    const answer = owner.open(new Place('r', telling, 0));
    const since = { epoch: 'e', seq: 2 };
    void owner.open(new Place('r', way, 1, since), since);
    return { broker, told, answer };
  };

  it('answers with the position where the stream began, not the current one', async () => {
    const { broker, told, answer } = start();
    broker.answers[1]?.({ epoch: 'e', seq: 4 });
    await Promise.resolve();
    for (const seq of [3, 4]) broker.message('e', seq);
    broker.answers[0]?.({ epoch: 'e', seq: 4 });
    expect(await answer).toEqual({ epoch: 'e', seq: 2 });
    expect(told).toEqual(['e 3', 'e 4']);
  });

  it('answers with the epoch in which the stream began, even if it has ended since', async () => {
    const { broker, told, answer } = start();
    broker.answers[1]?.({ epoch: 'f', seq: 3 });
    await Promise.resolve();
    broker.message('e', 3);
    broker.reset('r', { epoch: 'f', seq: 3 }, { epoch: 'e', seq: 3 });
    broker.answers[0]?.({ epoch: 'f', seq: 3 });
    expect(await answer).toEqual({ epoch: 'e', seq: 2 });
    expect(told).toEqual(['e 3', 'reset f 3']);
  });

  it('answers with the position of the stream if nothing was delivered', async () => {
    const { broker, told, answer } = start();
    broker.answers[0]?.({ epoch: 'f', seq: 3 });
    expect(await answer).toEqual({ epoch: 'e', seq: 2 });
    broker.message('e', 3);
    expect(told).toEqual(['e 3']);
  });
});
