import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import axe from 'axe-core';
import type { Browser, Locator } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CURVE } from '../../../src/load/measure/result.js';
import { latencyCharts, niceStep } from '../../../src/load/report/charts.js';
import { htmlReport } from '../../../src/load/report/html.js';
import { hasChromium, launchChromium } from '../../support/chromium.js';
import { fixtureReport, fixtureRun } from '../../support/load-report.js';

test('names are text, not markup, and end no script', () => {
  const run = fixtureRun();
  run.cohorts[1]!.name = '</script><b>';
  const html = htmlReport(fixtureReport(run));
  expect(html).toContain('10 % of the members &#60;stop&#62; reading');
  expect(html).not.toContain('</script><b>');
  expect(html.match(/<\/script>/g)).toHaveLength(2);
});

test('steps of an axis are round', () => {
  expect([0, 0.7, 1.2, 2.2, 3, 70, 1000].map(niceStep)).toEqual([1, 1, 2, 2.5, 5, 100, 1000]);
});

test('a series without values is not drawn, and a chart without series is left out', () => {
  const run = fixtureRun();
  for (const { cohorts } of run.timeline) cohorts[1]!.p99 = null;
  const [, overTime] = latencyCharts(run);
  expect(overTime!.series.map(({ name }) => name)).toEqual(['healthy p50', 'healthy p99']);
  for (const { cohorts } of run.timeline) cohorts[0]!.p99 = cohorts[0]!.p50 = null;
  expect(latencyCharts(run).map(({ title }) => title)).not.toContain('Latency over time');
});

test('the report names what failed', () => {
  const run = fixtureRun();
  run.cohorts[0]!.counters.faults.duplicated = 1;
  const html = htmlReport(fixtureReport(run));
  expect(html).toContain('Failed: order');
  expect(htmlReport(fixtureReport())).toContain('>Passed (not judged: evictions)<');
  run.interrupted = true;
  expect(htmlReport(fixtureReport(run))).toContain('Failed: order; interrupted<');
  const [written = ''] = html.split('<script>');
  expect(written).not.toMatch(/NaN|undefined|\[object/);
});

test('the report counts the messages sent and due without the last ones', () => {
  expect(htmlReport(fixtureReport())).toContain('; 2,500 sent of 2,500 due, p99 ');
});

test('the report says that nothing is known of the server', () => {
  const run = fixtureRun();
  run.server = { before: null, after: null, samples: [], missing: 'it answers 404' };
  expect(htmlReport(fixtureReport(run))).toContain(
    'Nothing is known of the server itself: it answers 404',
  );
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

  /** The legend of a chart, by line, and the position of its cursor. */
  const legendOf = (chart: Locator) => async () => ({
    at: await chart.locator('.at').innerText(),
    ...Object.fromEntries(
      await chart.locator('.legend li').evaluateAll((all) =>
        all.map((each) => {
          const value = each.querySelector('b')?.textContent ?? '';
          return [each.textContent?.slice(0, -value.length).trim() ?? '', value];
        }),
      ),
    ),
  });

  test('a chart shows its values at the cursor, in all charts with the same time axis', async () => {
    const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
    await page.goto(pathToFileURL(join(folder, 'r.html')).href);
    const overTime = page.locator('figure.chart', { hasText: 'Latency over time' });
    const others = page.locator('figure.chart', { hasText: 'CPU' });
    expect(await overTime.locator('.at').innerText()).toBe('');
    const { x, y, width, height } = (await overTime.locator('.u-over').boundingBox())!;
    await page.mouse.move(x + width / 2, y + height / 2);
    expect(await legendOf(overTime)()).toEqual({
      at: '13 s, fill',
      'healthy p50': '900 µs',
      'healthy p99': '2.10 ms',
      'stalled p99': '–',
    });
    expect(await legendOf(others)()).toEqual({ at: '13 s, fill', cores: '0.4' });
    await page.close();
  });

  test('every row of the table agrees with the chart beside it', async () => {
    const run = fixtureRun();
    // Stalled members receive nothing while they are slow, and later what was due then.
    run.timeline.forEach((second, i) => {
      second.cohorts[0]!.delivered = 1800 + 9 * i;
      if (second.phase === 'slow') second.cohorts[1]!.delivered = 0;
    });
    const file = join(folder, 'rows.html');
    writeFileSync(file, htmlReport(fixtureReport(run)));
    const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
    await page.goto(pathToFileURL(file).href);
    const table = page.getByRole('region', { name: 'Cohorts' });
    const head = await table.locator('th').allInnerTexts();
    const rows = await table
      .locator('tbody tr')
      .evaluateAll((all) =>
        all.map((row) => [...row.children].map((cell) => cell.textContent ?? '')),
      );

    const percentiles = page.locator('figure.chart', { hasText: 'Latency by percentile' });
    await percentiles.locator('.canvas').focus();
    const curve: Record<string, Record<string, string>> = {};
    for (const _ of CURVE) {
      await page.keyboard.press('ArrowLeft');
      const { at, ...values } = await legendOf(percentiles)();
      curve[at] = values;
    }
    let compared = 0;
    for (const [name = '', ...cells] of rows) {
      for (const percent of ['50', '90', '99', '99.9', '99.99']) {
        const inChart = curve[`${percent} %`]![name];
        // The calm phase of slow cohorts is not drawn.
        if (inChart === undefined) continue;
        expect([name, percent, cells[head.indexOf(`p${percent}`) - 1]]).toEqual([
          name,
          percent,
          inChart,
        ]);
        compared++;
      }
    }
    expect(compared).toBe(15);

    const received = page.locator('figure.chart', { hasText: 'Messages received by a member' });
    await received.locator('.canvas').focus();
    const seconds: Record<string, string>[] = [];
    for (const _ of run.timeline) {
      await page.keyboard.press('ArrowLeft');
      seconds.push(await legendOf(received)());
    }
    for (const [name = '', ...cells] of rows) {
      const [cohort = '', phase = ''] = name.split(', ');
      const drawn = seconds.filter(({ at = '' }) => at.endsWith(phase)).map((each) => each[cohort]);
      const mean = drawn.reduce((sum, value) => sum + Number(value), 0) / drawn.length;
      const inTable = Number.parseFloat(cells[head.indexOf('received a member') - 1]!);
      expect([name, drawn.length > 4, Math.abs(inTable - mean) < 0.11]).toEqual([name, true, true]);
    }
    await page.close();
  });

  for (const colorScheme of ['light', 'dark'] as const) {
    for (const width of [1440, 360]) {
      test(`it fits ${width} pixels, ${colorScheme}, and loads nothing`, async () => {
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
        // Findings of axe; its script may run only without the page's own policy.
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
        await page.close();
      });
    }
  }
});
