/**
 * Checks `client/LOSS.md`: that it lists every reason, outcome and time and no other, and that a client
 * of a real server behaves as its tables say after a network loss, a restart, expiry and a slow reader.
 */
import { readFileSync } from 'node:fs';
import { expect, expectTypeOf, it, onTestFinished, vi } from 'vitest';
import { WebSocket } from 'ws';
import { connect, type GapReason, type Joined, type Room } from '../../client/src/index.js';
import * as limits from '../../client/src/limits.js';
import { startTestServer, type TestServer } from '../../src/testing.js';
import { record } from './rig.js';

const page = readFileSync(new URL('../../client/LOSS.md', import.meta.url), 'utf8');
const WAIT = { timeout: 30_000, interval: 5 };

/** Names in the first column of the table whose head begins with `head`. */
function rows(head: string): string[] {
  const table = page.slice(page.indexOf(`| ${head} |`)).split('\n\n')[0] as string;
  const cells = table.split('\n').slice(2);
  return cells.flatMap((row) =>
    Array.from(String(row.split('|')[1]).matchAll(/`(\w+)`/g), ([, name]) => String(name)),
  );
}

const REASONS = [
  ...['overflow', 'conflated', 'broker', 'node', 'expired', 'left'],
  ...['disconnected', 'reset', 'unannounced', 'consumer'],
] as const satisfies readonly GapReason[];
const RECOVERIES = ['first', 'complete', 'partial', 'lost', 'reset'] as const;

it('has a row for each gap reason and each recovery', () => {
  expectTypeOf<GapReason>().toEqualTypeOf<(typeof REASONS)[number]>();
  expectTypeOf<Joined['recovery']>().toEqualTypeOf<(typeof RECOVERIES)[number]>();
  expect(rows('`reason`')).toEqual([...REASONS]);
  expect(rows('`recovery`')).toEqual([...RECOVERIES]);
});

it('has a row for each outcome of a publish in the types', () => {
  const types = readFileSync(new URL('../../client/src/types.ts', import.meta.url), 'utf8');
  const said = /@throws ((?:(?!@throws).)*?)\*\/\s+publish\(/s.exec(types)?.[1];
  const codes = Array.from(String(said).matchAll(/`(\w+)`/g), ([, code]) => code);
  expect(codes).toContain('connection_lost');
  expect(rows('how it ends').sort()).toEqual(codes.sort());
});

it('has the timeouts and bounds of the client', () => {
  const seconds = (ms: number) => `${ms / 1000} s`;
  for (const [text, ms] of [
    ['the heartbeat (% unless', limits.HEARTBEAT_MS],
    ['and % without an answer to a ping', limits.PONG_MS],
    ['after % where the browser', limits.PROBE_MS],
    ['pause of up to % that', limits.PAUSE_MS],
    ['doubles to %;', limits.LONGEST_PAUSE_MS],
    ['a publish waits, for %', limits.PUBLISH_MS],
  ] as const) {
    expect(page).toContain(text.replace('%', seconds(ms)));
  }
  expect([limits.UNREACHABLE, page]).toEqual([5, expect.stringContaining('five times in a row')]);
  const { QUEUE_MESSAGES, QUEUE_BYTES } = limits;
  expect(page).toContain(`${QUEUE_MESSAGES} messages or ${QUEUE_BYTES / 1024} KiB`);
});

/** A room of a client that has received one message. */
async function joined(
  options: Parameters<typeof startTestServer>[0] = {},
): Promise<{ server: TestServer; room: Room<unknown>; told: string[]; member: () => string }> {
  const server = await startTestServer(options);
  onTestFinished(() => server.close());
  const client = connect(server.url, {
    WebSocket: (url) => new WebSocket(url),
    lifecycle: false,
    backoff: { baseMs: 20, capMs: 100 },
  });
  onTestFinished(() => client.close());
  const room = client.room('a');
  const told = record(room);
  await room.join();
  await server.publish('a', 1);
  await vi.waitFor(() => expect(told).toEqual(['joined', '1']), WAIT);
  return { server, room, told, member: () => client.member as string };
}

it.each([
  ['keeps messages', { historyMessages: 10 }, ['complete 2 2', '2', '3']],
  ['keeps none', {}, ['partial 2 null', 'gap 2-3 expired']],
])('a lost connection to a server that %s', async (_, options, expected) => {
  const { server, told, member } = await joined(options);
  server.cut(member());
  for (const data of [2, 3]) await server.publish('a', data);
  await vi.waitFor(() => expect(told.length).toBeGreaterThan(2), WAIT);
  await server.publish('a', 4);
  await vi.waitFor(() => expect(told).toEqual(['joined', '1', ...expected, '4']), WAIT);
});

it('a connection loss longer than the history is kept', async () => {
  const { server, told, member } = await joined({ historyMessages: 10 });
  server.cut(member());
  await server.publish('a', 2);
  await server.expireHistory('a');
  await server.publish('a', 3);
  const expected = ['joined', '1', 'partial 2 null', 'gap 2-2 expired', '3'];
  await vi.waitFor(() => expect(told).toEqual(expected), WAIT);
});

it('a restart of a server with rooms in memory', async () => {
  const { server, told } = await joined();
  await server.restart();
  await vi.waitFor(() => expect(told).toHaveLength(4), WAIT);
  await server.publish('a', 'new');
  const expected = ['joined', '1', 'reset null 0', 'gap null-null reset', 'new'];
  await vi.waitFor(() => expect(told).toEqual(expected), WAIT);
});

it('a slow reader', async () => {
  const { server, told, member } = await joined({ queueMessages: 2 });
  const resume = server.stall(member());
  for (const data of [2, 3, 4, 5, 6]) {
    await server.publish('a', data);
    await new Promise(setImmediate);
  }
  resume();
  await vi.waitFor(
    () => expect(told).toEqual(['joined', '1', '2', 'gap 3-4 overflow', '5', '6']),
    WAIT,
  );
});
