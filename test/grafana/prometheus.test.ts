/**
 * The dashboard and the rules against the real thing: Prometheus with our configuration scrapes our
 * server while a crowd publishes and a part of it stops to read. Every query has to give numbers, and
 * the numbers have to be those that the crowd counted itself.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { ALERTS, expressionOf } from '../../grafana/src/alerts.js';
import { CATALOGUE } from '../../src/metrics/catalogue.js';
import { Crowd } from '../support/crowd.js';
import { hasPrometheus, Prometheus, promtool, temporary } from '../support/prometheus.js';
import { filledIn, queries } from './support.js';

const MEMBERS = 40;
const STALLED = 4;
const JOINERS = 10;
/** Fills what the kernel holds for a peer, some 6 MB, in less than ten seconds. */
const MESSAGE_BYTES = 16_000;
const PER_SECOND = 50;
/** Scraped every second; rates need some scrapes. */
const RATE_INTERVAL = '5s';

const CONFIG = fileURLToPath(new URL('../../grafana/prometheus', import.meta.url));
const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

describe.runIf(hasPrometheus)('with a real Prometheus', () => {
  const directory = temporary();
  const crowd = new Crowd('grafana:room');
  let server: ChildProcess;
  let prometheus: Prometheus;
  let url: string;
  let started: number;
  let ended: number;
  let exposition: string;
  let seriesBefore: number;
  let seriesAfter: number;

  const now = () => Date.now() / 1e3;

  /** The only number of a query. */
  async function number(expr: string): Promise<number> {
    const [only, ...more] = await prometheus.query(expr);
    expect(more).toEqual([]);
    return Number(only?.values[0]?.[1]);
  }

  /** Resolves once the query gives what is wanted; the test's time limit ends it otherwise. */
  async function until(expr: string, wanted: (value: number) => boolean): Promise<void> {
    while (!wanted(await number(expr))) await new Promise((resolve) => setTimeout(resolve, 500));
  }

  beforeAll(async () => {
    server = spawn(
      process.execPath,
      [
        MAIN,
        'serve',
        ...['--port', '0', '--publish-rate', '0', '--queue-messages', '64'],
        // One heartbeat while all still read, and none to miss while some do not.
        ...['--heartbeat-ms', '15000'],
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    for await (const line of createInterface({ input: server.stdout! })) {
      const said = JSON.parse(line) as { msg: string; url: string };
      if (said.msg !== 'serving') continue;
      url = said.url;
      break;
    }

    cpSync(CONFIG, directory.path, { recursive: true });
    const file = join(directory.path, 'prometheus.yml');
    const config = parse(readFileSync(file, 'utf8'));
    config.global = { scrape_interval: '1s', evaluation_interval: '1s' };
    config.scrape_configs[0].static_configs[0].targets = [new URL(url).host];
    writeFileSync(file, stringify(config));
    prometheus = await Prometheus.start(file, directory.path);

    started = now();
    await until('sum(up)', (up) => up === 1);
    await crowd.join(Number(new URL(url).port), JOINERS);
    await until('sum(roomcast_members)', (members) => members === JOINERS);
    seriesBefore = await number('max(scrape_samples_scraped)');
    await crowd.join(Number(new URL(url).port), MEMBERS - JOINERS);
    crowd.publish(PER_SECOND, MESSAGE_BYTES);
    await until('sum(roomcast_member_rtt_seconds_count)', (count) => count >= MEMBERS);

    crowd.stall(STALLED);
    await until('sum(roomcast_dropped_total)', (dropped) => dropped > 0);
    // On a busy machine others may be slow for a moment.
    await until('sum(roomcast_slow_members)', (slow) => slow === STALLED);
    seriesAfter = await number('max(scrape_samples_scraped)');
    crowd.resume();
    await until('sum(roomcast_queue_messages)', (queued) => queued === 0);
    await until('sum(roomcast_slow_members)', (slow) => slow === 0);
    crowd.hush();
    await until('sum(roomcast_published_total)', (published) => published === crowd.published);
    await until('sum(roomcast_queue_messages)', (queued) => queued === 0);
    ended = now();
    exposition = await (await fetch(`${url}/metrics`)).text();
  }, 120_000);

  afterAll(async () => {
    crowd.close();
    await prometheus?.stop();
    if (server.exitCode === null) {
      server.kill('SIGTERM');
      await once(server, 'exit');
    }
    directory.remove();
  });

  describe('every panel', () => {
    it.each(queries.map(({ name, expr }) => [name, expr]))('%s has numbers', async (_, expr) => {
      const result = await prometheus.range(filledIn(expr, RATE_INTERVAL), started, ended, 1);
      const values = result.flatMap((series) => series.values.map(([, value]) => Number(value)));
      // A quantile of nothing is no number, and no point of a graph.
      expect(values.filter(Number.isFinite).length).toBeGreaterThan(0);
      expect(values.map(Math.abs)).not.toContain(Number.POSITIVE_INFINITY);
    });
  });

  describe('every alert', () => {
    it.each(ALERTS.map((alert) => [alert.name, alert] as const))(
      '%s judges a number',
      async (_, alert) => {
        const result = await prometheus.range(alert.value, started, ended, 1);
        const values = result.flatMap((series) => series.values.map(([, value]) => Number(value)));
        expect(values.some(Number.isFinite)).toBe(true);
        await expect(prometheus.query(expressionOf(alert))).resolves.toBeInstanceOf(Array);
      },
    );

    it('is loaded, and none has failed', async () => {
      const { groups } = await prometheus.get<{
        groups: { rules: { name: string; health: string }[] }[];
      }>('/api/v1/rules');
      const loaded = groups.flatMap(({ rules }) => rules);
      expect(loaded.map(({ name }) => name).sort()).toEqual(ALERTS.map(({ name }) => name).sort());
      for (const { health } of loaded) expect(health).toBe('ok');
    });
  });

  describe('what the crowd counted itself', () => {
    it('is what was published, delivered and dropped', async () => {
      const { published, fannedOut, delivered, dropped } = CATALOGUE;
      expect(await number(`sum(${published.name})`)).toBe(crowd.published);
      expect(await number(`sum(${fannedOut.name})`)).toBe(crowd.published * MEMBERS);
      expect(await number(`sum(${dropped.name})`)).toBe(crowd.missed);
      expect(await number(`sum(${delivered.name})`)).toBe(crowd.received);
      expect(crowd.missed).toBeGreaterThan(0);
      expect(crowd.received + crowd.missed).toBe(crowd.published * MEMBERS);
    });

    it('is how many were slow: each of them was told', async () => {
      const [series] = await prometheus.range('sum(roomcast_slow_members)', started, ended, 1);
      expect(series!.values.map(([, value]) => Number(value))).toContain(STALLED);
      for (const member of crowd.members.slice(-STALLED)) expect(member.slow).toBeGreaterThan(0);
    });

    it('is how often locks were held: once to write for each that joined', async () => {
      const { name } = CATALOGUE.lockHoldSeconds;
      const held = (lock: string, mode: string) =>
        number(`sum(${name}_count{lock="${lock}", mode="${mode}"})`);
      expect(await held('room.members', 'write')).toBe(MEMBERS);
      // The first asks the broker.
      expect(await held('room.lifecycle', 'write')).toBe(1);
      expect(await held('room.lifecycle', 'read')).toBe(MEMBERS - 1);
    });

    it('is nothing that is lost: the accounts are even at every scrape', async () => {
      const accounting = queries.find(({ panel }) => panel.title === 'Accounting difference')!;
      const result = await prometheus.range(filledIn(accounting.expr, ''), started, ended, 1);
      const values = result.flatMap((series) => series.values.map(([, value]) => Number(value)));
      expect(values.length).toBeGreaterThan(10);
      expect(new Set(values)).toEqual(new Set([0]));
    });
  });

  it('has the same number of series, whoever is connected', () => {
    expect(seriesAfter).toBe(seriesBefore);
    expect(seriesAfter).toBeLessThan(2000);
  });

  it('exposes metrics that promtool finds clean', () => {
    const { status, output } = promtool(['check', 'metrics'], exposition);
    expect(output).toBe('');
    expect(status).toBe(0);
  });
});
