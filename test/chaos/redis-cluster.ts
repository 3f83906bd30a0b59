/** A chaos cluster over one Redis: two nodes, each with a network of its own to it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { FaultProxy } from '../support/fault-proxy.js';
import { freePort } from '../support/free-port.js';
import { type RedisServer, startRedis } from '../support/redis-server.js';
import { type Process, start } from '../support/spawned.js';
import {
  type Cluster,
  type Fault,
  ready,
  residentMiB,
  type Stop,
  signal,
  stopFor,
} from './cluster.js';
import type { Random } from './random.js';

const NAME = 'chaos';

interface Node {
  readonly port: number;
  readonly url: string;
  readonly proxy: FaultProxy;
  process: Process;
}

/** A fault in one node, or in its network to Redis. */
type OfNode = (node: Node, random: Random) => void | Promise<void>;

export class RedisCluster implements Cluster {
  readonly name = 'Redis, two nodes';
  readonly stops: Stop[] = [];
  readonly faults: readonly Fault[];
  readonly #redis: RedisServer;
  readonly #nodes: readonly Node[];
  readonly #rooms: readonly string[];
  /** Nodes affected by a fault; all of them if it was in Redis. */
  readonly #struck = new Set<Node>();
  /** In some rounds all faults hit one node, and the other must notice nothing. */
  #victim: Node | null = null;

  private constructor(redis: RedisServer, nodes: readonly Node[], rooms: readonly string[]) {
    this.#redis = redis;
    this.#nodes = nodes;
    this.#rooms = rooms;
    const ofRedis: Record<string, (random: Random) => Promise<void>> = {
      'Redis stalls': async (random) => {
        redis.signal('SIGSTOP');
        await sleep(random.between(200, 4000));
        redis.signal('SIGCONT');
      },
      'Redis is killed, and starts with older data': async (random) => {
        await redis.ask('SAVE');
        await sleep(random.between(0, 1000));
        await redis.kill();
        await sleep(random.between(0, 1500));
        await redis.start();
      },
      'Redis is killed, and starts empty': async (random) => {
        await redis.kill();
        redis.forget();
        await sleep(random.between(0, 1500));
        await redis.start();
      },
      'Redis closes the subscription connections': async () => {
        await redis.ask('CLIENT', 'KILL', 'TYPE', 'pubsub');
      },
      'Redis closes the command connections': async () => {
        await redis.ask('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
      },
      'Redis pauses its clients': async (random) => {
        await redis.ask('CLIENT', 'PAUSE', String(Math.round(random.between(100, 2500))), 'ALL');
      },
      'Redis is flushed': async () => {
        await redis.ask('FLUSHALL');
      },
      'Redis loses a room': async (random) => {
        await redis.ask('DEL', `rc1:${NAME}:m:${random.pick(this.#rooms)}`);
      },
      'Redis loses its scripts': async () => {
        await redis.ask('SCRIPT', 'FLUSH');
      },
      'Redis is out of memory': async (random) => {
        await redis.ask('CONFIG', 'SET', 'maxmemory', '1');
        await sleep(random.between(200, 2000));
        await redis.ask('CONFIG', 'SET', 'maxmemory', '0');
      },
      'Redis lacks a replica': async (random) => {
        await redis.ask('CONFIG', 'SET', 'min-replicas-to-write', '1');
        await sleep(random.between(200, 2000));
        await redis.ask('CONFIG', 'SET', 'min-replicas-to-write', '0');
      },
    };
    const ofNode: Record<string, OfNode> = {
      'a node is killed': async (node, random) => {
        node.process.child.kill('SIGKILL');
        await node.process.exited;
        await sleep(random.between(0, 1000));
        node.process = serve(node.port, node.proxy.url);
        await node.process.line('serving');
      },
      'a node stalls': async ({ process, url }, random) => {
        const { pid } = process.child;
        this.stops.push(await stopFor(pid as number, random.between(200, 4000), url));
      },
      'the network of a node is slow': async ({ proxy }, random) => {
        proxy.delay(random.between(10, 300));
        await sleep(random.between(500, 3000));
        proxy.heal();
      },
      'the bandwidth of a node is limited': async ({ proxy }, random) => {
        proxy.throttle(random.between(2000, 50_000));
        await sleep(random.between(500, 3000));
        proxy.heal();
      },
      'a node does not read': async ({ proxy }, random) => {
        proxy.throttle(0);
        await sleep(random.between(500, 3000));
        proxy.heal();
      },
      'the connections of a node are closed': ({ proxy }) => proxy.cut(),
      'a node cannot reach Redis': async ({ proxy }, random) => {
        proxy.cut(true);
        await sleep(random.between(200, 3000));
        proxy.heal();
      },
      ...Object.fromEntries(
        ([['up'], ['down'], ['up', 'down']] as const).map((silent): [string, OfNode] => [
          `the network of a node drops everything (${silent.join(', ')})`,
          async ({ proxy }, random) => {
            proxy.silence(...silent);
            await sleep(random.between(500, 3500));
            proxy.heal();
          },
        ]),
      ),
      'a message to a node is lost': async ({ proxy }, random) => {
        const lost = proxy.loseOne(`:c:${random.pick(this.#rooms)}`);
        await Promise.race([lost, sleep(3000)]);
      },
    };
    this.faults = [
      ...Object.entries(ofRedis).map(([name, run]) => ({
        name,
        run: (random: Random) => this.#toRedis(run, random),
      })),
      ...Object.entries(ofNode).map(([name, run]) => ({
        name,
        run: (random: Random) => this.#toNode(run, random),
      })),
    ];
  }

  static async start(rooms: readonly string[]): Promise<RedisCluster> {
    // A small buffer limit, so that Redis disconnects slow readers.
    const limit = ['--client-output-buffer-limit', 'pubsub 1mb 0 0'];
    const redis = await startRedis(...limit, '--dbfilename', 'dump.rdb');
    const nodes: Node[] = [];
    for (let n = 0; n < 2; n += 1) {
      const proxy = await FaultProxy.start(redis.port);
      const port = await freePort();
      const process = serve(port, proxy.url);
      await process.line('serving');
      nodes.push({ port, url: `http://127.0.0.1:${port}`, proxy, process });
    }
    return new RedisCluster(redis, nodes, rooms);
  }

  get urls(): string[] {
    return this.#nodes.map(({ url }) => url);
  }

  begin(random: Random): void {
    this.stops.length = 0;
    this.#struck.clear();
    this.#victim = random.next() < 0.3 ? random.pick(this.#nodes) : null;
  }

  async healed(): Promise<void> {
    for (const { proxy } of this.#nodes) proxy.heal();
    for (const { url, process } of this.#nodes) {
      await ready(url).catch((error: Error) => {
        throw new Error(`${error.message}; it said ${process.stdout.slice(-3).join('\n')}`);
      });
    }
  }

  isOnWay({ of }: Stop, url: string): boolean {
    return of === url;
  }

  isUndisturbed(url: string): boolean {
    return ![...this.#struck].some((node) => node.url === url);
  }

  memory(): Record<string, number> {
    return Object.fromEntries(
      this.#nodes.map(({ process }, n) => [`node ${n}`, residentMiB(process.child.pid as number)]),
    );
  }

  async close(): Promise<void> {
    for (const { process, proxy } of this.#nodes) {
      signal(process.child.pid as number, 'SIGCONT');
      process.child.kill('SIGTERM');
      await process.exited;
      proxy.close();
    }
    await this.#redis.close();
  }

  async #toRedis(run: (random: Random) => Promise<void>, random: Random): Promise<void> {
    if (this.#victim !== null) return;
    for (const node of this.#nodes) this.#struck.add(node);
    await run(random);
  }

  async #toNode(run: OfNode, random: Random): Promise<void> {
    const node = this.#victim ?? random.pick(this.#nodes);
    this.#struck.add(node);
    await run(node, random);
  }
}

const serve = (port: number, redisUrl: string) =>
  start([
    ...['serve', '--port', String(port), '--broker', 'redis', '--redis-url', redisUrl],
    ...['--cluster-name', NAME, '--broker-tick-ms', '300', '--position-check-ms', '2000'],
    ...['--publish-rate', '0', '--join-rate', '0', '--drain-ms', '0', '--lame-duck-ms', '0'],
  ]);
