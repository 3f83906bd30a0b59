/**
 * Servers over one Redis, each through a network of its own (`fault-proxy.ts`), with publishers and
 * members whose logs are accounted for at the end.
 */
import { onTestFinished } from 'vitest';
import { Refusal } from '../../src/errors.js';
import type { Log } from '../../src/log.js';
import type { Config } from '../../src/options/config.js';
import { audit, type MemberLog, type Published } from './accounting.js';
import { FaultProxy } from './fault-proxy.js';
import { LoggingMember } from './logging-member.js';
import { type RedisServer, startRedis } from './redis-server.js';
import { serve } from './server.js';

type Server = Awaited<ReturnType<typeof serve>>;

/** How long members may take to receive the last message; anything missing after that is a fault. */
const SETTLE_MS = 20_000;

interface SceneNode {
  readonly server: Server;
  readonly proxy: FaultProxy;
}

interface SceneOptions {
  readonly nodes?: number;
  /** Options of `redis-server`. */
  readonly redis?: readonly string[];
  readonly options?: Partial<Config>;
  readonly log?: Log;
}

export class RedisScene {
  readonly nodes: SceneNode[] = [];
  readonly published: Published[] = [];
  readonly #members: LoggingMember[] = [];
  readonly #timeoutMs: number;

  private constructor(
    readonly redis: RedisServer,
    readonly options: Partial<Config>,
    readonly log: Log | undefined,
  ) {
    this.#timeoutMs = options.brokerTimeoutMs ?? 5000;
  }

  static async start({ nodes = 2, redis = [], options = {}, log }: SceneOptions = {}) {
    // A replica should not wait for others.
    const server = await startRedis('--repl-diskless-sync-delay', '0', ...redis);
    onTestFinished(() => server.close());
    const scene = new RedisScene(server, options, log);
    for (let n = 0; n < nodes; n += 1) await scene.#add();
    return scene;
  }

  async #add(): Promise<void> {
    const proxy = await FaultProxy.start(this.redis.port);
    // Before the server ends, so that it still has a peer.
    // Two in a row fail only if Redis gets no CPU for a second.
    const options = { redisUrl: proxy.url, brokerTickMs: 500, ...this.options };
    const server = await serve({ broker: 'redis', ...options }, this.log);
    onTestFinished(() => proxy.close());
    this.nodes.push({ server, proxy });
  }

  /** Connects a member to a node and joins rooms. */
  async join(node: number | string, ...rooms: string[]): Promise<LoggingMember> {
    const url = typeof node === 'string' ? node : (this.nodes[node] as SceneNode).server.url;
    const member = new LoggingMember(url, `m${this.#members.length} at ${node}`, rooms);
    onTestFinished(() => member.close());
    this.#members.push(member);
    await member.joined();
    return member;
  }

  /** Publishes; resolves with the record for the account. `padding`: extra bytes. */
  async publish(node: number, room: string, padding = 0): Promise<Published['answer']> {
    const { server } = this.nodes[node] as SceneNode;
    return this.noting(room, padding, (data) => server.publish(room, data));
  }

  /** Records a publish made in any way. */
  async noting(
    room: string,
    padding: number,
    send: (data: string) => Promise<{ readonly seq: number; readonly epoch: string }>,
  ): Promise<Published['answer']> {
    const index = this.published.length;
    const id = `p${index}`;
    const sentAt = performance.now();
    const note = (answer: Published['answer']) => {
      const deadline = sentAt + this.#timeoutMs;
      this.published[index] = { room, payload: JSON.stringify(id), sentAt, deadline, answer };
      return answer;
    };
    note('pending');
    try {
      return note(await send(padding === 0 ? id : `${id} ${'x'.repeat(padding)}`));
    } catch (error) {
      const isUnknown = !(error instanceof Refusal) || error.code === 'broker_uncertain';
      return note(isUnknown ? 'uncertain' : 'refused');
    }
  }

  /** Publishes until a publish is accepted; resolves with that one. */
  async accepts(node: number, room: string): Promise<Published> {
    for (;;) {
      const next = this.published.length;
      if (typeof (await this.publish(node, room)) === 'object') {
        return this.published[next] as Published;
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Resolves once the broker of a node is in a state, as reported to its members. */
  async until(member: LoggingMember, state: string): Promise<void> {
    await member.until(() => member.notices.at(-1) === state);
  }

  /**
   * Publishes to every room once more from every given node, waits until all members have these
   * messages, and returns the violations of the account. `undisturbed`: members that must notice
   * nothing.
   */
  async account(
    nodes: readonly number[],
    undisturbed: readonly LoggingMember[],
  ): Promise<string[]> {
    const logs = this.#members.flatMap((member) =>
      member.logs.map(
        (log): MemberLog => ({ ...log, isUndisturbed: undisturbed.includes(member) }),
      ),
    );
    const rooms = new Set(logs.map(({ room }) => room));
    const lasts: Published[] = [];
    for (const room of rooms) {
      for (const node of nodes) lasts.push(await this.accepts(node, room));
    }
    const hasAll = (member: LoggingMember) =>
      member.logs.every(({ room, told }) =>
        lasts.every(
          (last) =>
            last.room !== room ||
            told.some((each) => each.type === 'message' && each.payload === last.payload),
        ),
      );
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, SETTLE_MS);
    });
    const all = this.#members.map((member) => member.until(() => hasAll(member)));
    await Promise.race([Promise.all(all), late]);
    clearTimeout(timer);
    return audit(
      this.published,
      logs.map((log) => ({ ...log, endedAt: endOf(this.#members, log) })),
    );
  }
}

/** The member may have ended while the last messages were awaited. */
const endOf = (members: readonly LoggingMember[], log: MemberLog) =>
  members.flatMap(({ logs }) => logs).find(({ told }) => told === log.told)?.endedAt ?? null;
