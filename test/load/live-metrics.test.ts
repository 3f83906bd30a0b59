import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { parseAddress, parseListen } from '../../src/load/listen.js';
import { LiveMetrics } from '../../src/load/live-metrics.js';
import { Scrape } from '../../src/load/prometheus.js';
import { FIXTURE_PLAN, fixtureRun } from '../support/load-report.js';

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

test('the state of a running test can be scraped', async () => {
  const port = await freePort();
  const address = parseListen('--metrics-port', String(port));
  const metrics = await LiveMetrics.open(FIXTURE_PLAN, '--metrics-port', address);
  onTestFinished(() => metrics.close());
  const scrape = async (): Promise<string> => {
    const response = await fetch(`http://127.0.0.1:${port}/metrics`);
    expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4');
    return response.text();
  };
  const before = await scrape();
  expect(before).toContain('roomcast_load_latency_seconds{cohort="healthy",quantile="0.99"} NaN\n');
  const rows = fixtureRun().timeline.slice(0, 3);
  for (const row of rows) metrics.second(row);
  const after = await scrape();
  const read = new Scrape(after);
  expect(read.sum('roomcast_load_sent_total')).toBe(rows.reduce((sum, { sent }) => sum + sent, 0));
  const delivered = rows.reduce((sum, { cohorts }) => sum + cohorts[0]!.delivered, 0);
  expect(after).toContain(`roomcast_load_delivered_total{cohort="healthy"} ${delivered}\n`);
  const { p99, present } = rows.at(-1)!.cohorts[0]!;
  expect(after).toContain(`{cohort="healthy",quantile="0.99"} ${p99! / 1e6}\n`);
  expect(after).toContain(`roomcast_load_members{cohort="healthy"} ${present}\n`);
  expect(after).toContain('roomcast_load_phase{phase="calm"} 1\n');
  expect(after.match(/^[^#]/gm)).toHaveLength(before.match(/^[^#]/gm)!.length);
  expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(404);

  const again = LiveMetrics.open(FIXTURE_PLAN, '--metrics-port', address);
  await expect(again).rejects.toMatchObject({
    code: 'bad_option',
    message: `--metrics-port is "127.0.0.1:${port}": expected an address to listen on that is free (EADDRINUSE)`,
  });
});

test('addresses are host:port, and a port alone is on loopback', () => {
  expect(parseListen('--x', '9464')).toEqual({ host: '127.0.0.1', port: 9464 });
  expect(parseListen('--x', '0.0.0.0:9464')).toEqual({ host: '0.0.0.0', port: 9464 });
  expect(parseAddress('--x', '[::1]:80')).toEqual({ host: '::1', port: 80 });
  for (const wrong of ['', '9464', 'host', 'host:', ':80', 'http://h:80', '[x]:1']) {
    expect(() => parseAddress('--x', wrong), wrong).toThrow('expected host:port');
  }
  expect(() => parseAddress('--x', 'host:65536')).toThrow('expected a port of at most 65535');
});
