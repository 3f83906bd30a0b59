/** Every page of a server as axe sees it, in light and in dark, on a desk and on a phone. */
import axe from 'axe-core';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Served, serve } from '../http/support.js';
import { hasChromium, launchChromium } from '../support/chromium.js';

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
    // Its script may run only where the policy of the page is set aside.
    const context = await browser.newContext({
      colorScheme: look.colorScheme,
      viewport: { width: look.width, height: 900 },
      bypassCSP: true,
    });
    for (const path of ['/', '/docs', '/runbook']) {
      const page = await context.newPage();
      await page.goto(`http://127.0.0.1:${server.port}${path}`);
      // All that is folded away is looked at too.
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

  it.each(['/docs', '/runbook'])('%s leads back to the live page', async (path) => {
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${server.port}${path}`);
    await page.getByRole('link', { name: 'Live page' }).click();
    await page.getByRole('heading', { name: 'roomcast', exact: true }).waitFor();
    expect(new URL(page.url()).pathname).toBe('/');
    await page.close();
  });
});
