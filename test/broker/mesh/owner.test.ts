/** What the owner of a room asks of its broker, and until when. */
import { describe, expect, it } from 'vitest';
import type { Broker, Position } from '../../../src/broker/broker.js';
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

/** A broker that cannot be reached: what is asked of it has no end but that of its signal. */
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
  it('asks for a room no longer than somebody is in it', async () => {
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
    // Who comes then is asked for anew.
    void (owner.open(new Place('r', way, 3)) as Promise<Position>).catch(() => {});
    expect(broker.subscribes.map(({ aborted }) => aborted)).toEqual([true, true, false]);
    owner.end();
    expect(broker.subscribes.map(({ aborted }) => aborted)).toEqual([true, true, true]);
  });

  it('asks twice at most whether everything is told, however many want to know', async () => {
    const { broker, owner } = away();
    const place = new Place('r', way, 1);
    void (owner.open(place) as Promise<Position>).catch(() => {});
    const answers = Array.from({ length: 100 }, () => owner.settled('r'));
    expect(broker.settles).toHaveLength(1);
    broker.settles[0]?.done();
    await answers[0];
    await expect.poll(() => broker.settles.length).toBe(2);
    // Who asks now is not answered by what was asked before.
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
