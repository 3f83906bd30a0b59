import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import axe from 'axe-core';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Chart, drawChart, niceStep } from '../../../src/load/report/chart.js';
import { htmlReport } from '../../../src/load/report/html.js';
import { hasChromium, launchChromium } from '../../support/chromium.js';
import { fixtureReport, fixtureRun } from '../../support/load-report.js';

const chart = (values: (number | null)[], scale: 'log' | 'linear' = 'linear'): Chart => ({
  title: 'A <title>',
  caption: 'What it is',
  x: { values: values.map((_, i) => i), ticks: [{ at: 0, label: '0 s' }], label: (i) => `${i} s` },
  y: { scale, format: String },
  series: [{ name: 'one & only', colour: 'c0', values }],
  bands: [{ from: 1, to: 2, label: 'slow' }],
});

test('a line breaks where there is no value, and nothing is no chart', () => {
  expect(drawChart(chart([1, 2, null, 4, 4]))).toMatch(/d="M0 75L250 50M750 0L1000 0"/);
  expect(drawChart(chart([null, null]))).toBe('');
});

test('on a log axis equal ratios are equal distances', () => {
  expect(drawChart(chart([1, 10, 100], 'log'))).toContain('d="M0 100L500 50L1000 0"');
});

test('what people named is text, not markup', () => {
  const html = drawChart(chart([1, 2]));
  expect(html).toContain('A &#60;title&#62;');
  expect(html).toContain('one &#38; only');
  expect(htmlReport(fixtureReport())).toContain('10 % of the members &#60;stop&#62; reading');
});

test('steps and numbers of an axis are round', () => {
  expect([0, 0.7, 1.2, 2.2, 3, 70, 1000].map(niceStep)).toEqual([1, 1, 2, 2.5, 5, 100, 1000]);
  const texts: Record<string, string> = { 0: '0 B', 1: '1.00 MB', 2: '1.50 MB', 3: '200 MB' };
  const { y, ...rest } = chart([0, 3]);
  const html = drawChart({ ...rest, y: { ...y, format: (value) => texts[value] ?? '' } });
  expect(html.match(/[\d.]+ M?B(?=<\/span>)/g)).toEqual(['0 B', '1 MB', '1.5 MB', '200 MB']);
});

test('the report names what failed', () => {
  const run = fixtureRun();
  run.cohorts[0]!.counters.faults.duplicated = 1;
  const html = htmlReport(fixtureReport(run));
  expect(html).toContain('Failed: order');
  expect(htmlReport(fixtureReport())).toContain('>Passed (not judged: evictions)<');
  run.interrupted = true;
  expect(htmlReport(fixtureReport(run))).toContain('Failed: order; interrupted<');
  expect(html).not.toMatch(/NaN|undefined|\[object/);
});

test('a server of which nothing is known is said to be so', () => {
  const run = fixtureRun();
  run.server = { before: null, after: null, samples: [], missing: 'it answers 404' };
  expect(htmlReport(fixtureReport(run))).toContain(
    'Nothing is known of the server itself: it answers 404',
  );
});

test('the table says of a phase what the chart beside it shows', () => {
  const run = fixtureRun();
  // Stalled members get nothing while they are slow, and later what was due then.
  for (const second of run.timeline) if (second.phase === 'slow') second.cohorts[1]!.delivered = 0;
  const html = htmlReport(fixtureReport(run));
  const row = /<td><i class="c1"><\/i>stalled, slow<\/td>(.*?)<\/tr>/.exec(html)?.[1] ?? '';
  expect(row).toContain('<td>0/s</td>');
  const chart = html.slice(html.indexOf('Messages received by a member'));
  expect(chart).toContain('25 s, slow<br>');
  const last = /25 s, slow<br>(.*?)<\/p>/.exec(chart)?.[1] ?? '';
  expect(last).toMatch(/stalled<\/b> 0$/);
});

describe.skipIf(!hasChromium)('in a browser', () => {
  let browser: Browser;
  let folder: string;
  beforeAll(async () => {
    browser = await launchChromium();
    folder = await mkdtemp(join(tmpdir(), 'report-'));
    const runs = [fixtureRun(1), fixtureRun(2), fixtureRun(1.5)];
    writeFileSync(join(folder, 'r.html'), htmlReport(fixtureReport(...runs)));
  });
  afterAll(async () => {
    await browser.close();
    await rm(folder, { recursive: true });
  });

  for (const colorScheme of ['light', 'dark'] as const) {
    for (const width of [1440, 360]) {
      test(`it fits ${width} pixels, ${colorScheme}, and asks nobody for anything`, async () => {
        const page = await browser.newPage({ colorScheme, viewport: { width, height: 900 } });
        const requests: string[] = [];
        const complaints: string[] = [];
        page.on('request', (request) => requests.push(request.url()));
        page.on('console', (message) => complaints.push(message.text()));
        await page.goto(pathToFileURL(join(folder, 'r.html')).href);
        expect(requests).toEqual([expect.stringContaining('r.html')]);
        expect(complaints).toEqual([]);
        const wide = await page.evaluate('document.documentElement.scrollWidth');
        expect(wide).toBeLessThanOrEqual(width);
        expect(await page.locator('figure.chart').count()).toBe(6);
        const colours = await page.evaluate(
          '[document.body, document.querySelector(".tile span")].map((e) => getComputedStyle(e).color).join()',
        );
        expect(colours).toBe(
          colorScheme === 'dark'
            ? 'rgb(230, 235, 241),rgb(154, 167, 181)'
            : 'rgb(22, 32, 44),rgb(91, 104, 119)',
        );
        // Findings of axe; its script may run only where the page's own policy is set aside.
        const context = await browser.newContext({
          colorScheme,
          viewport: { width, height: 900 },
          bypassCSP: true,
        });
        const checked = await context.newPage();
        await checked.goto(pathToFileURL(join(folder, 'r.html')).href);
        await checked.evaluate(axe.source);
        expect(
          await checked.evaluate(
            'axe.run().then(({ violations }) => violations.map((each) => each.id + ": " + each.nodes[0].html))',
          ),
        ).toEqual([]);
        await context.close();
        const zone = page.locator('.zone').nth(3);
        expect(await zone.locator('p').isVisible()).toBe(false);
        await zone.hover();
        expect(await zone.locator('p').innerText()).toContain('healthy');
        await page.close();
      });
    }
  }
});
