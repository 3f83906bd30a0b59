import { createClient } from '@redis/client';
import { RedisBroker } from '../../dist/broker/redis/redis.js';
import { freePort, startServer } from '../process.js';

/** A Redis server of its own, nodes in this process that use it, and the CPU time of Redis. */

/**
 * @template T
 * @param {(redis: Redis) => Promise<T>} use
 * @returns {Promise<T>}
 */
export async function withRedis(use) {
  const { port, stop } = await startRedis();
  const redis = new Redis(`redis://127.0.0.1:${port}`);
  try {
    return await use(redis);
  } finally {
    await redis.close();
    await stop();
  }
}

/** @param {...string} flags */
export async function startRedis(...flags) {
  const port = await freePort();
  const own = ['--port', `${port}`, '--save', '', '--bind', '127.0.0.1'];
  return { port, ...(await startServer(['redis-server', ...own, ...flags], port)) };
}

export class Redis {
  /** @type {RedisBroker[]} */
  #brokers = [];
  /** @param {string} url of Redis, or of its Sentinels, which then only name the primary */
  constructor(url) {
    this.url = url;
  }

  /** A node of one cluster. `messages`: history per room. @param {number} [messages] */
  async node(messages = 100) {
    const broker = new RedisBroker(
      {
        url: this.url,
        clusterName: 'bench',
        kept: { messages, ms: 60_000 },
        idleRoomMs: 3_600_000,
        tickMs: 2000,
        positionCheckMs: 60_000,
        resumeRoomsPerSecond: 50_000,
        timeoutMs: 5000,
      },
      { linked() {}, unlinked() {}, refuses() {}, advice() {} },
    );
    this.#brokers.push(broker);
    while (broker.state() !== 'up') await new Promise((resolve) => setTimeout(resolve, 5));
    return broker;
  }

  /** @param {...string} command @returns {Promise<any>} */
  ask(...command) {
    return this.watch((ask) => ask(...command));
  }

  /**
   * Runs `use` with one connection.
   *
   * @template T
   * @param {(ask: (...command: string[]) => Promise<any>) => Promise<T>} use
   * @returns {Promise<T>}
   */
  async watch(use) {
    const client = createClient({ url: this.url, RESP: 2 });
    client.on('error', () => {});
    await client.connect();
    try {
      return await use((...command) => client.sendCommand(command));
    } finally {
      client.destroy();
    }
  }

  /** A number from INFO. @param {string} name */
  async info(name) {
    const text = String(await this.ask('INFO'));
    return Number(new RegExp(`^${name}:([\\d.]+)`, 'm').exec(text)?.[1]);
  }

  /** CPU seconds that Redis has used. */
  async cpu() {
    return (await this.info('used_cpu_sys')) + (await this.info('used_cpu_user'));
  }

  async close() {
    await Promise.all(this.#brokers.map((broker) => broker.close()));
  }
}
