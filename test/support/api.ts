/** API calls of a test to a running server: publishing, and reading members and counters. */
import { expect } from 'vitest';
import { parse, sum } from '../metrics/support.js';

interface MemberState {
  readonly health: string;
  readonly queued: { readonly messages: number; readonly bytes: number };
}

interface Scrape {
  /** Sum over all series of a metric whose labels include these. */
  sum(name: string, labels?: Readonly<Record<string, string>>): number;
}

export interface Api {
  /** Publishes each, in order. */
  publish(room: string, data: readonly unknown[]): Promise<void>;
  /** Null if there is no such member. */
  member(id: string): Promise<MemberState | null>;
  scrape(): Promise<Scrape>;
  /** Scrapes until the condition holds. */
  until(condition: (scrape: Scrape) => boolean): Promise<Scrape>;
}

export function apiOf(url: string): Api {
  const scrape = async (): Promise<Scrape> => {
    const series = parse(await (await fetch(`${url}/metrics`)).text());
    return {
      sum(name, labels = {}) {
        const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
        const chosen = [...series].filter(([key]) => wanted.every((label) => key.includes(label)));
        return sum(new Map(chosen), `roomcast_${name}`);
      },
    };
  };
  return {
    async publish(room, data) {
      const response = await fetch(`${url}/v1/messages`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ messages: data.map((each) => ({ room, data: each })) }),
      });
      expect(response.status).toBe(200);
      const { results } = (await response.json()) as { results: readonly { seq?: number }[] };
      expect(results.filter(({ seq }) => seq === undefined)).toEqual([]);
    },
    async member(id) {
      const response = await fetch(`${url}/v1/members/${id}`);
      if (response.status === 404) return null;
      expect(response.status).toBe(200);
      return (await response.json()) as MemberState;
    },
    scrape,
    async until(condition) {
      for (;;) {
        const seen = await scrape();
        if (condition(seen)) return seen;
      }
    },
  };
}
