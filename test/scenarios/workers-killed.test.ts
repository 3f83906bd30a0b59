/**
 * Kills workers under load, repeatedly. The logs of publishers and members account for every
 * publication, the totals are right at every scrape, rooms accept publishes again, and a SockJS session
 * that ended with its worker is unknown everywhere. Twice by default; fifty times with
 *
 *     npm run build && ROOMCAST_TEST_FULL=1 npx vitest run test/scenarios/workers-killed.test.ts
 */
import { expect, onTestFinished, test } from 'vitest';
import type { Published } from '../support/accounting.js';
import { audit } from '../support/accounting.js';
import { LoggingMember } from '../support/logging-member.js';
import { WorkersServer } from '../support/workers.js';

const KILLS = process.env['ROOMCAST_TEST_FULL'] === undefined ? 2 : 50;
const SLOTS = 3;
const BROKER_TIMEOUT_MS = 5000;
const COUNTERS = ['published', 'fanout', 'delivered', 'abandoned'].map(
  (name) => `roomcast_${name}_total`,
);

test('killed workers cost only what is reported', {
  timeout: KILLS * 60_000,
}, async () => {
  const workers = await WorkersServer.start(SLOTS, '--drain-ms', '0', '--lame-duck-ms', '0');
  const rooms = Array.from({ length: SLOTS }, (_, slot) => workers.nameOf(slot));
  const members: LoggingMember[] = [];
  const join = async () => {
    const member = new LoggingMember(workers.url, `m${members.length}`, rooms);
    members.push(member);
    onTestFinished(() => member.close());
    await member.joined();
  };
  for (let n = 0; n < 2 * SLOTS; n += 1) await join();

  const published: Published[] = [];
  const waits: number[] = [];
  async function publish(room: string): Promise<boolean> {
    const index = published.length;
    const payload = JSON.stringify(`p${index}`);
    const sentAt = performance.now();
    const deadline = sentAt + BROKER_TIMEOUT_MS;
    const note = (answer: Published['answer']) => {
      published[index] = { room, payload, sentAt, deadline, answer };
    };
    note('pending');
    try {
      const answer = await workers.publish(room, `p${index}`, 2 * BROKER_TIMEOUT_MS);
      if (typeof answer['epoch'] === 'string')
        note(answer as { epoch: string; seq: number } & object);
      else note(answer['code'] === 'broker_uncertain' ? 'uncertain' : 'refused');
    } catch {
      // The connection ended, or the request was never answered: it may have been published.
      note('uncertain');
    }
    return typeof published[index]?.answer === 'object';
  }
  let isOver = false;
  const load = Array.from({ length: 6 }, async (_, n) => {
    for (let i = n; !isOver; i += 1) await publish(rooms[i % SLOTS] as string);
  });

  const before = new Map<string, number>();
  async function checkSums(): Promise<void> {
    const { sum, unaccounted } = await workers.scrape();
    expect(unaccounted).toBe(0);
    for (const name of COUNTERS) {
      expect(sum(name)).toBeGreaterThanOrEqual(before.get(name) ?? 0);
      before.set(name, sum(name));
    }
  }
  const sockjs = async (session: string, action: string): Promise<number> => {
    const url = `${workers.url}/sockjs/0/${session}/${action}`;
    const init = { method: 'POST', headers: { connection: 'close' }, body: '[]' };
    const answer = await fetch(url, init).catch(() => null);
    await answer?.arrayBuffer();
    return answer?.status ?? 0;
  };
  for (let kill = 0; kill < KILLS; kill += 1) {
    const slot = kill % SLOTS;
    await checkSums();
    const session = workers.nameOf(slot, `of${kill}n`);
    expect(await sockjs(session, 'xhr')).toBe(200);
    const times = workers.pids(slot).length;
    workers.kill(slot, 'SIGKILL');
    const killed = performance.now();
    await workers.noted(kill + 1);
    while (!(await publish(rooms[slot] as string)));
    waits.push(performance.now() - killed);
    // The next owner does not know the session, and does not start it again.
    let status = 0;
    while (![404, 204, 200].includes(status)) status = await sockjs(session, 'xhr_send');
    expect(status).toBe(404);
    await checkSums();
    await workers.served(slot, times + 1);
    while (members.filter(({ isClosed }) => !isClosed).length < 2 * SLOTS) await join();
  }
  isOver = true;
  await Promise.all(load);
  // After these nothing is in transit.
  const last = await Promise.all(
    rooms.map((room) => workers.publish(room, `last:${room}`, 20_000)),
  );
  for (const [n, room] of rooms.entries()) {
    const answer = last[n] as { epoch: string; seq: number } & object;
    const payload = JSON.stringify(`last:${room}`);
    const sentAt = performance.now();
    published.push({ room, payload, sentAt, deadline: sentAt + BROKER_TIMEOUT_MS, answer });
    const has = ({ told }: LoggingMember['logs'][0]) =>
      told.some((each) => each.type === 'message' && each.payload === payload);
    for (const member of members) {
      await member.until(() => member.logs.every((log) => log.room !== room || has(log)));
    }
  }
  expect(
    audit(
      published,
      members.flatMap(({ logs }) => logs),
    ),
  ).toEqual([]);
  await checkSums();
  const { sum } = await workers.scrape();
  expect(sum('roomcast_worker_restarts_total')).toBe(KILLS);
  const sorted = waits.map(Math.round).sort((a, b) => a - b);
  if (KILLS > 2) console.log(`rooms accepted again after ${sorted.join(', ')} ms`);
  // On an idle machine it takes less than a second (docs/scale.md).
  expect(Math.max(...waits)).toBeLessThan(20_000);
  // The run covered the case.
  const resets = members.flatMap(({ logs }) => logs).flatMap(({ told }) => told);
  expect(resets.some(({ type }) => type === 'reset')).toBe(true);
});
