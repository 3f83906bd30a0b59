/**
 * The dashboard and the rules with a real Prometheus: it scrapes a real server under `roomcast load`
 * with our configuration. Some members stop reading and later resume. Every query must return numbers,
 * equal to those that the load tool counted itself.
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
import { ALERTS, expressionOf } from '../../grafana/src/alerts.js';
import { CATALOGUE } from '../../src/metrics/catalogue/index.js';
import { hasPrometheus, Prometheus, promtool, temporary } from '../support/prometheus.js';
import { filledIn, OF_FEATURES, queries } from './support.js';

const MEMBERS = 40;
const STALLED = 4;
const LOAD = {
  members: `${MEMBERS}`,
  cohort: `stalled=${STALLED}`,
  // The publisher is one of the members, so that there are no other connections.
  publishFrom: 'members',
  publishers: '1',
  // Fills the kernel's send buffer of a peer, up to 10 MB, within half of the stall.
  rate: '50/s',
  size: '32KiB',
  warmup: '2s',
  // Long enough for a heartbeat on an otherwise idle connection.
  calm: '18s',
  fill: '14s',
  slow: '6s',
  recover: '6s',
};
const HEARTBEAT_MS = 17_000;
/** Exit codes of a passed run, and of a run on a machine too busy to measure. */
const JUDGED = [0, 3];

/** Scrapes every second; rates need several scrapes. */
const RATE_INTERVAL = '5s';

const CONFIG = fileURLToPath(new URL('../../grafana/prometheus', import.meta.url));
const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/** The counts of the load tool. */
interface Load {
  readonly sent: number;
  readonly received: number;
  /** Messages reported to members as lost. */
  readonly announced: number;
}

/** Runs `roomcast load` against a server. */
async function run(url: string, report: string): Promise<Load> {
  const flags = Object.entries(LOAD).flatMap(([name, value]) => [
    `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`,
    value,
  ]);
  const target = `${url.replace('http', 'ws')}/ws`;
  const child = spawn(process.execPath, [MAIN, 'load', target, ...flags, '--json', report], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      said += chunk;
    });
  }
  const [code] = await once(child, 'close');
  expect(JUDGED, said).toContain(code);
  const { runs, verdict } = JSON.parse(readFileSync(report, 'utf8'));
  const [{ publishing, cohorts }] = runs;
  const order = verdict.checks.find(({ name }: { name: string }) => name === 'order').text;
  return {
    sent: publishing.sent,
    received: Number(/^([\d,]+) messages checked/.exec(order)?.[1]?.replaceAll(',', '')),
    announced: cohorts.reduce(
      (sum: number, { counters }: { counters: { announced: number } }) => sum + counters.announced,
      0,
    ),
  };
}

describe.runIf(hasPrometheus)('with a real Prometheus', () => {
  const directory = temporary();
  let server: ChildProcess;
  let prometheus: Prometheus;
  let url: string;
  let started: number;
  let ended: number;
  let exposition: string;
  let load: Load;

  const now = () => Date.now() / 1e3;

  /** The single value of a query. */
  async function number(expr: string): Promise<number> {
    const [only, ...more] = await prometheus.query(expr);
    expect(more).toEqual([]);
    return Number(only?.values[0]?.[1]);
  }

  /** Resolves once the query returns the expected value; bounded by the time limit of the test. */
  async function until(expr: string, wanted: (value: number) => boolean): Promise<void> {
    while (!wanted(await number(expr))) await new Promise((resolve) => setTimeout(resolve, 500));
  }

  beforeAll(async () => {
    const options = ['--port', '0', '--publish-rate', '0', '--queue-messages', '64'];
    server = spawn(
      process.execPath,
      [MAIN, 'serve', ...options, '--heartbeat-ms', String(HEARTBEAT_MS)],
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
    const quiet = new WebSocket(`${url.replace('http', 'ws')}/ws`);
    await once(quiet, 'open');
    quiet.send('{"type":"ping"}');
    load = await run(url, join(directory.path, 'load.json'));
    quiet.terminate();
    await until('sum(roomcast_members)', (members) => members === 0);
    await until('sum(roomcast_published_total)', (published) => published === load.sent);
    ended = now();
    exposition = await (await fetch(`${url}/metrics`)).text();
  }, 180_000);

  afterAll(async () => {
    await prometheus?.stop();
    if (server.exitCode === null) {
      server.kill('SIGTERM');
      await once(server, 'exit');
    }
    directory.remove();
  });

  describe('every panel', () => {
    it.each(
      queries
        .filter(({ panel }) => !OF_FEATURES.panels.includes(panel.title))
        .map(({ name, expr }) => [name, expr]),
    )('%s has values', async (_, expr) => {
      const result = await prometheus.range(filledIn(expr, RATE_INTERVAL), started, ended, 1);
      const values = result.flatMap((series) => series.values.map(([, value]) => Number(value)));
      // A quantile without observations is NaN, which a graph does not draw.
      expect(values.filter(Number.isFinite).length).toBeGreaterThan(0);
      expect(values.map(Math.abs)).not.toContain(Number.POSITIVE_INFINITY);
    });
  });

  describe('every alert', () => {
    it.each(
      ALERTS.filter(({ name }) => !OF_FEATURES.alerts.includes(name)).map(
        (alert) => [alert.name, alert] as const,
      ),
    )('%s evaluates to a number', async (_, alert) => {
      const result = await prometheus.range(alert.value, started, ended, 1);
      const values = result.flatMap((series) => series.values.map(([, value]) => Number(value)));
      expect(values.some(Number.isFinite)).toBe(true);
      await expect(prometheus.query(expressionOf(alert))).resolves.toBeInstanceOf(Array);
    });

    it('is loaded, and none has failed', async () => {
      const { groups } = await prometheus.get<{
        groups: { rules: { name: string; health: string }[] }[];
      }>('/api/v1/rules');
      const loaded = groups.flatMap(({ rules }) => rules);
      expect(loaded.map(({ name }) => name).sort()).toEqual(ALERTS.map(({ name }) => name).sort());
      for (const { health } of loaded) expect(health).toBe('ok');
    });
  });

  describe('the counts of the load tool', () => {
    it('equal the published, delivered and dropped metrics', async () => {
      const { published, fannedOut, delivered, dropped, abandoned } = CATALOGUE;
      expect(load.announced).toBeGreaterThan(0);
      expect(load.received + load.announced).toBe(load.sent * MEMBERS);
      expect(await number(`sum(${published.name})`)).toBe(load.sent);
      expect(await number(`sum(${fannedOut.name})`)).toBe(load.sent * MEMBERS);
      expect(await number(`sum(${dropped.name})`)).toBe(load.announced);
      expect(await number(`sum(${delivered.name})`)).toBe(load.received);
      expect(await number(`sum(${abandoned.name})`)).toBe(0);
    });

    it('equal the number of slow members', async () => {
      const [series] = await prometheus.range('sum(roomcast_slow_members)', started, ended, 1);
      const slow = series!.values.map(([, value]) => Number(value));
      // On a busy machine other members may be slow for a moment.
      expect(Math.max(...slow)).toBeGreaterThanOrEqual(STALLED);
      expect(slow.at(-1)).toBe(0);
    });

    it('equal the lock holds: one write for each join and each leave', async () => {
      const { name } = CATALOGUE.lockHoldSeconds;
      const held = (lock: string, mode: string) =>
        number(`sum(${name}_count{lock="${lock}", mode="${mode}"})`);
      // A probe joins once before all others.
      expect(await held('room.members', 'write')).toBe(2 * (MEMBERS + 1));
      // The first join and the last leave call the broker.
      expect(await held('room.lifecycle', 'write')).toBeGreaterThanOrEqual(2);
      expect(await held('room.members', 'read')).toBeGreaterThan(0);
    });

    it('leave no message unaccounted for at any scrape', async () => {
      const accounting = queries.find(({ panel }) => panel.title === 'Accounting difference')!;
      const result = await prometheus.range(filledIn(accounting.expr, ''), started, ended, 1);
      const values = result.flatMap((series) => series.values.map(([, value]) => Number(value)));
      expect(values.length).toBeGreaterThan(10);
      expect(new Set(values)).toEqual(new Set([0]));
    });
  });

  it('has the same number of series, however many members are connected', async () => {
    const [series] = await prometheus.range('scrape_samples_scraped', started, ended, 1);
    const counts = series!.values.map(([, value]) => Number(value)).filter((count) => count > 0);
    expect(new Set(counts).size).toBe(1);
    expect(counts[0]).toBeLessThan(2000);
    const members = await prometheus.range('sum(roomcast_members)', started, ended, 1);
    expect(members[0]!.values.map(([, value]) => Number(value))).toContain(MEMBERS + 1);
  });

  it('exposes metrics that promtool accepts', () => {
    const { status, output } = promtool(['check', 'metrics'], exposition);
    expect(output).toBe('');
    expect(status).toBe(0);
  });
});
