/**
 * The dashboard rows about recovery, identity and the broker, against real servers scraped by a real
 * Prometheus: one with history, tokens and presence, and one with Redis. Every query must return
 * numbers, equal to those that the clients counted themselves.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { parse, stringify } from 'yaml';
import { ALERTS } from '../../grafana/src/alerts.js';
import { hasPrometheus, Prometheus, temporary } from '../support/prometheus.js';
import { hasRedis, type RedisServer, startRedis } from '../support/redis-server.js';
import { EVERYTHING, SECRET, tokenOf } from '../support/tokens.js';
import { filledIn, OF_FEATURES, queries } from './support.js';

const CONFIG = fileURLToPath(new URL('../../grafana/prometheus', import.meta.url));
const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
/** Rows covered by this file. */
const isHere = (id: number) => id > 900;
/** Repetitions of each traffic step; rates need five scrapes, one per second. */
const STEPS = 8;

interface Serving {
  readonly child: ChildProcess;
  readonly url: string;
}

async function serve(...options: string[]): Promise<Serving> {
  const child = spawn(process.execPath, [MAIN, 'serve', '--port', '0', ...options], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  for await (const line of createInterface({ input: child.stdout })) {
    const said = JSON.parse(line) as { msg: string; url: string };
    if (said.msg === 'serving') return { child, url: said.url };
  }
  throw new Error('it ended before it served');
}

interface Reply {
  readonly id: number;
  readonly type: string;
  readonly code?: string;
  readonly seq: number;
  readonly epoch: string;
  readonly recover?: { readonly result: string };
}

/** A connection that sends commands and awaits replies. */
class Client {
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, (reply: Reply) => void>();
  #id = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on('message', (text) => {
      const frame = JSON.parse(String(text)) as Reply;
      if (frame.type === 'past') return;
      this.#waiting.get(frame.id)?.(frame);
      this.#waiting.delete(frame.id);
    });
  }

  static async open(url: string): Promise<Client> {
    const socket = new WebSocket(`${url.replace('http', 'ws')}/ws`);
    await once(socket, 'open');
    return new Client(socket);
  }

  ask(command: object): Promise<Reply> {
    this.#id += 1;
    const id = this.#id;
    this.#socket.send(JSON.stringify({ ...command, id }));
    return new Promise((resolve) => this.#waiting.set(id, resolve));
  }

  close(): void {
    this.#socket.terminate();
  }
}

describe.runIf(hasPrometheus && hasRedis)('optional features', () => {
  const directory = temporary();
  const servers: Serving[] = [];
  const clients: Client[] = [];
  const counted = { recoveries: {} as Record<string, number>, invalid: 0, refreshed: 0, pages: 0 };
  let redis: RedisServer;
  let prometheus: Prometheus;
  let started: number;
  let ended: number;
  let instance: string;

  async function step(member: Client, publisher: Client, far: Client, n: number): Promise<void> {
    const room = 'kept:a';
    const { seq, epoch } = await member.ask({ type: 'leave', room }).then(() => position);
    for (let i = 0; i <= n; i += 1) await publisher.ask({ type: 'publish', room, data: i });
    // Five are kept, and up to six were missed.
    const joined = await member.ask({ type: 'join', room, since: { seq, epoch } });
    position = joined;
    const result = joined.recover?.result as string;
    counted.recoveries[result] = (counted.recoveries[result] ?? 0) + 1;
    await member.ask({ type: 'history', room, last: 3 });
    counted.pages += 1;
    const token = n % 2 === 0 ? tokenOf({ sub: 'ada', rooms: EVERYTHING }) : 'no.good.one';
    const { type } = await member.ask({ type: 'auth', token });
    if (type === 'error') counted.invalid += 1;
    else counted.refreshed += 1;
    await far.ask({ type: 'publish', room, data: n });
  }
  let position: { seq: number; epoch: string };

  beforeAll(async () => {
    redis = await startRedis();
    servers.push(
      await serve(
        ...['--token-secret', SECRET, '--history-messages', '5', '--presence', 'users'],
        ...['--api-key', 'a-key-of-the-test'],
      ),
      await serve('--broker', 'redis', '--redis-url', redis.url),
    );
    const [own, far] = servers.map(({ url }) => url) as [string, string];
    instance = new URL(own).host;
    cpSync(CONFIG, directory.path, { recursive: true });
    const file = join(directory.path, 'prometheus.yml');
    const config = parse(readFileSync(file, 'utf8'));
    config.global = { scrape_interval: '1s', evaluation_interval: '1s' };
    const [job] = config.scrape_configs;
    job.static_configs[0].targets = [instance, new URL(far).host];
    job.authorization = { credentials: 'a-key-of-the-test' };
    writeFileSync(file, stringify(config));
    prometheus = await Prometheus.start(file, directory.path);
    started = Date.now() / 1e3;
    const [member, publisher, other] = (await Promise.all([
      Client.open(own),
      Client.open(own),
      Client.open(far),
    ])) as [Client, Client, Client];
    clients.push(member, publisher, other);
    await member.ask({ type: 'auth', token: tokenOf({ sub: 'ada', rooms: EVERYTHING }) });
    await publisher.ask({ type: 'auth', token: tokenOf({ sub: 'bob', rooms: EVERYTHING }) });
    await publisher.ask({ type: 'join', room: 'kept:a', presence: true });
    position = await member.ask({ type: 'join', room: 'kept:a' });
    await other.ask({ type: 'join', room: 'kept:a' });
    for (let n = 0; n < STEPS; n += 1) {
      await step(member, publisher, other, n);
      // One token per second is allowed, with a scrape in between.
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
    ended = Date.now() / 1e3;
  }, 60_000);

  afterAll(async () => {
    for (const client of clients) client.close();
    await prometheus?.stop();
    for (const { child } of servers) {
      child.kill('SIGKILL');
      if (child.exitCode === null) await once(child, 'exit');
    }
    await redis?.close();
    directory.remove();
  });

  it.each(queries.filter(({ panel }) => isHere(panel.id)).map(({ name, expr }) => [name, expr]))(
    '%s has numbers',
    async (_, expr) => {
      const result = await prometheus.range(filledIn(expr, '5s'), started, ended, 1);
      const values = result.flatMap((series) => series.values.map(([, value]) => Number(value)));
      expect(values.filter(Number.isFinite).length).toBeGreaterThan(0);
    },
  );

  it.each(
    ALERTS.filter(({ name }) => OF_FEATURES.alerts.includes(name)).map((alert) => [
      alert.name,
      alert,
    ]),
  )('%s evaluates to a number', async (_, { value }) => {
    const result = await prometheus.range(value.replaceAll('5m', '5s'), started, ended, 1);
    const values = result.flatMap((series) => series.values.map(([, value]) => Number(value)));
    expect(values.some(Number.isFinite)).toBe(true);
  });

  it('shows what the clients counted', async () => {
    const headers = { authorization: 'Bearer a-key-of-the-test' };
    const text = await (await fetch(`http://${instance}/metrics`, { headers })).text();
    const value = (series: string) => Number(text.split(`\n${series} `)[1]?.split('\n')[0]);
    const { recoveries, invalid, refreshed, pages } = counted;
    expect(Object.keys(recoveries).sort()).toEqual(['complete', 'partial']);
    for (const [result, count] of Object.entries(recoveries)) {
      expect(value(`roomcast_recoveries_total{result="${result}"}`)).toBe(count);
    }
    const auth = (result: string) => value(`roomcast_authentications_total{result="${result}"}`);
    expect([auth('ok'), auth('refreshed'), auth('token_invalid')]).toEqual([2, refreshed, invalid]);
    expect(value('roomcast_replayed_batches_total{how="request"}')).toBe(pages);
    expect(value('roomcast_replayed_total{how="request",result="sent"}')).toBe(
      // Fewer than three were published at first.
      3 * pages - 2,
    );
    expect(value('roomcast_history_messages')).toBe(5);
    expect(value('roomcast_users')).toBe(2);
    expect(value('roomcast_presence_users')).toBe(2);
    expect(value('roomcast_presence_watchers')).toBe(1);
    // An explicit leave counts as left, unlike a reload.
    expect(value('roomcast_presence_changes_total{kind="left"}')).toBe(STEPS);
  });
});
