import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort, startServer } from '../process.js';
import { Redis, startRedis } from './redis.js';

/** Failover: three Sentinels promote a replica, and a node resumes its rooms at the new primary. */

const NAME = 'rooms';
const SENTINELS = 3;
/** Interval of publishes, each in a room of its own. */
const TRY_MS = 5;

const data = JSON.stringify('x');

/**
 * Measures from the moment the replica has become the primary.
 *
 * @param {number} rooms
 */
export async function promotion(rooms) {
  const folder = mkdtempSync(join(tmpdir(), 'roomcast-promotion-'));
  /** @type {(() => Promise<void>)[]} */
  const stops = [];
  /** @template {{ stop(): Promise<void> }} T @param {T} started */
  const kept = (started) => {
    stops.push(started.stop);
    return started;
  };
  try {
    const primary = kept(await startRedis('--dir', folder));
    const replica = kept(
      await startRedis('--dir', folder, '--replicaof', '127.0.0.1', `${primary.port}`),
    );
    const ports = [];
    for (let n = 0; n < SENTINELS; n += 1) {
      const port = await freePort();
      const file = join(folder, `${n}.conf`);
      writeFileSync(file, configOf(port, primary.port, folder));
      kept(await startServer(['redis-server', file, '--sentinel'], port));
      ports.push(port);
    }
    const all = ports.map((port) => `127.0.0.1:${port}`).join(',');
    const redis = new Redis(`redis+sentinel://${all}/${NAME}`);
    kept({ stop: () => redis.close() });
    const broker = await redis.node();
    const names = Array.from({ length: rooms }, (_, n) => `room ${n}`);
    await Promise.all(names.map((room) => broker.subscribe(room, new AbortController().signal)));
    // Sentinels discover replicas and each other every few seconds.
    const sentinels = ports.map((port) => new Redis(`redis://127.0.0.1:${port}`));
    while (!(await knowAll(sentinels))) await sleep(100);
    const { links } = broker.counts;
    const next = new Redis(`redis://127.0.0.1:${replica.port}`);
    await primary.stop();
    // Stays connected: opening a connection would take longer than the promotion.
    await next.watch(async (ask) => {
      // A Sentinel closes all connections to the replica at the moment it promotes it.
      const role = async () => ask('ROLE').catch(() => ['master']);
      while ((await role())[0] !== 'master') await sleep(1);
    });
    const promotedAt = performance.now();
    // It may throw at once, or reject later.
    const publish = async (/** @type {string} */ room) =>
      broker.publish(room, { data, from: null }, { deadline: performance.now() + 5000 });
    let acceptMs = 0;
    for (let n = 0; acceptMs === 0 && n < 10_000; n += 1) {
      publish(`room ${n}`).then(
        () => {
          acceptMs ||= performance.now() - promotedAt;
        },
        () => {},
      );
      await sleep(TRY_MS);
    }
    while (broker.counts.links === links || broker.load.suspendedRooms > 0) await sleep(5);
    return { acceptMs, upMs: performance.now() - promotedAt };
  } finally {
    for (const stop of stops.reverse()) await stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** True once each Sentinel knows the replica and the other Sentinels. @param {readonly Redis[]} sentinels */
async function knowAll(sentinels) {
  const known = await Promise.all(
    sentinels.map(async (sentinel) => {
      const replicas = await sentinel.ask('SENTINEL', 'REPLICAS', NAME);
      const others = await sentinel.ask('SENTINEL', 'SENTINELS', NAME);
      return replicas.length === 1 && others.length === SENTINELS - 1;
    }),
  );
  return known.every(Boolean);
}

/** @param {number} port @param {number} primary @param {string} folder */
const configOf = (port, primary, folder) => `port ${port}
bind 127.0.0.1
dir ${folder}
sentinel monitor ${NAME} 127.0.0.1 ${primary} ${Math.floor(SENTINELS / 2) + 1}
sentinel down-after-milliseconds ${NAME} 500
sentinel failover-timeout ${NAME} 3000
`;
