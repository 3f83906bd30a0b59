/** What a round is judged by besides the account: deadlines, stalled processes, and memory. */
import { describe, expect, test } from 'vitest';
import { type Cluster, MOST_MIB, type Stop, tooLarge } from './cluster.js';
import { type Asked, extended } from './publishers.js';

const STOP: Stop = { of: 'a', from: 1000, to: 3000 };

/** A server that is stalled at some times, and others that its publishes do not pass through. */
const cluster = (...stops: readonly Stop[]) =>
  ({ stops, isOnWay: ({ of }: Stop, url: string) => of === url }) as Partial<Cluster> as Cluster;

const asked = (url: string, sentAt: number, answeredAt: number): Asked => ({
  ...{ url, sentAt, answeredAt, room: 'r', payload: 'p' },
  ...{ deadline: sentAt + 5000, answer: 'uncertain' },
});

const later = (publish: Asked, ...stops: readonly Stop[]) =>
  (extended([publish], cluster(...stops))[0]?.deadline as number) - publish.deadline;

describe('a deadline', () => {
  test('is extended by the time in which the server of the publish was stalled', () => {
    expect(later(asked('a', 500, 3100), STOP)).toBe(2000);
    expect(later(asked('a', 2000, 3100), STOP)).toBe(1000);
    expect(later(asked('a', 500, Number.POSITIVE_INFINITY), STOP)).toBe(2000);
  });

  test('is not extended if another server was stalled', () => {
    expect(later(asked('b', 500, 3100), STOP)).toBe(0);
  });

  test('is not extended if the publish was answered before the stall, or by a server that was not stalled', () => {
    expect(later(asked('a', 500, 900), STOP)).toBe(0);
    expect(later(asked('a', 500, 2000), STOP)).toBe(0);
    expect(later(asked('a', 3500, 3600), STOP)).toBe(0);
  });
});

test('memory is judged per process', () => {
  expect(tooLarge({ primary: 90, 'worker 0': MOST_MIB })).toEqual([]);
  expect(tooLarge({ primary: 90, 'worker 0': MOST_MIB + 1 })).toEqual([
    `memory: worker 0 holds ${MOST_MIB + 1} MiB, ${MOST_MIB} are allowed`,
  ]);
});
