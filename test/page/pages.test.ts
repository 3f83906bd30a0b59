/** Checks every page of a server with axe, in light and dark, on desktop and phone widths. */
import axe from 'axe-core';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Served, serve } from '../http/support.js';
import { hasChromium, launchChromium } from '../support/chromium.js';

const inWords = (text: string) => text.split(/\s+/).join(' ').trim();

describe.skipIf(!hasChromium)('in a browser', { timeout: 120_000 }, () => {
  let server: Served;
  let browser: Browser;
  beforeAll(async () => {
    server = await serve();
    browser = await launchChromium();
  }, 60_000);
  afterAll(async () => {
    await browser.close();
    await server.stop();
  });

  const looks = [
    { colorScheme: 'light', width: 1440 },
    { colorScheme: 'dark', width: 390 },
  ] as const;
  it.each(looks)('axe finds nothing in $colorScheme, $width px wide', async (look) => {
    // axe can only run if the page's policy is bypassed.
    const context = await browser.newContext({
      colorScheme: look.colorScheme,
      viewport: { width: look.width, height: 900 },
      bypassCSP: true,
    });
    for (const path of ['/', '/docs', '/runbook']) {
      const page = await context.newPage();
      await page.goto(`http://127.0.0.1:${server.port}${path}`);
      // Opens all collapsed sections.
      await page.evaluate(
        'for (const each of document.querySelectorAll("details")) each.open = true',
      );
      await page.evaluate(axe.source);
      const found = await page.evaluate(
        'axe.run().then(({ violations }) => violations.map((each) => each.id + ": " + each.nodes[0].html))',
      );
      expect([path, found]).toEqual([path, []]);
      const wide = await page.evaluate('document.documentElement.scrollWidth');
      expect([path, wide]).toEqual([path, look.width]);
      await page.close();
    }
    await context.close();
  });

  it.each([
    {
      network: false,
      workers: 3,
      rows: ['0 serves 5 2 100', '1 missing – – –', '2 serves 5 2 102'],
    },
    { network: true, workers: 1, rows: ['0 broker up 5 2 100'] },
    { network: false, workers: 1, rows: [] },
  ])(
    'shows $workers workers, with a network broker: $network',
    async ({ network, workers, rows }) => {
      const page = await browser.newPage();
      const of = (slot: number) =>
        slot === 1
          ? { slot, pid: null, members: null, rooms: null, broker: null }
          : { slot, pid: 100 + slot, members: 5, rooms: 2, broker: 'up' };
      const hello = {
        ...{ version: '1', node: 'v20', startedAt: 0, queueLimitBytes: 1, historyLimitBytes: 0 },
        ...{ locks: [], series: [], past: [] },
        has: { users: false, presence: false, history: false, network },
      };
      const line = {
        workers: 4,
        missing: 0,
        members: 1200,
        version: '0.2',
        upMs: 7.2e6,
        heardMs: 1,
      };
      const servers = [
        { server: 'a:7', ...line },
        { server: 'b:7', ...line, workers: 3, missing: 1, members: 900 },
        {
          server: 'c:7',
          ...line,
          ...{ workers: 0, missing: 4, members: 0, version: '0.1' },
          ...{ upMs: null, heardMs: 42e3 },
        },
      ];
      const second = {
        servers: network ? servers : [],
        ...{ at: 1, broker: 'up', values: [] },
        ...{ members: { total: 10, list: [] }, rooms: { total: 4, list: [] } },
        workers: Array.from({ length: workers }, (_, slot) => of(slot)),
      };
      const event = (name: string, data: unknown) =>
        `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
      await page.route('**/v1/live', (route) =>
        route.fulfill({
          contentType: 'text/event-stream',
          body: event('hello', hello) + event('second', second),
        }),
      );
      await page.goto(`http://127.0.0.1:${server.port}/`);
      await page.locator('#members .nothing').waitFor();
      // A redraw may replace the rows between finding and reading them, which loses the spaces between cells.
      const shown = (id: string) =>
        expect.poll(
          async () => (await page.locator(`${id}:visible tbody tr`).allInnerTexts()).map(inWords),
          { timeout: 10_000 },
        );
      await shown('#workers-section').toEqual(rows);
      await shown('#servers-section').toEqual(
        network
          ? [
              'a:7 serves 4 1,200 2 h 0.2',
              'b:7 1 of 4 missing 3 900 2 h 0.2',
              'c:7 missing for 42 s – – – 0.1',
            ]
          : [],
      );
      await page.close();
    },
  );

  it.each(['/docs', '/runbook'])('%s links back to the live page', async (path) => {
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${server.port}${path}`);
    await page.getByRole('link', { name: 'Live page' }).click();
    await page.getByRole('heading', { name: 'roomcast', exact: true }).waitFor();
    expect(new URL(page.url()).pathname).toBe('/');
    await page.close();
  });
});
