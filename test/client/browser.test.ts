/**
 * The client in a real browser, on a page of another origin: network changes, page lifecycle and the
 * browser examples. Hidden and frozen tabs are in `tabs.test.ts`.
 */
import type { Browser, BrowserContext, CDPSession, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { hasChromium, launchChromium } from '../support/chromium.js';
import { serve } from '../support/server.js';
import { servePages } from './pages.js';

const WAIT = { timeout: 40_000, interval: 50 };

describe.skipIf(!hasChromium)('in a browser', () => {
  let browser: Browser;
  /** Origin of the pages. */
  let origin: string;
  let close = () => {};

  beforeAll(async () => {
    // Playwright disables it by default.
    browser = await launchChromium({ ignoreDefaultArgs: ['--disable-back-forward-cache'] });
    ({ origin, close } = await servePages());
  });
  afterAll(async () => {
    await browser.close();
    close();
  });

  interface Tab {
    readonly page: Page;
    readonly context: BrowserContext;
    readonly cdp: CDPSession;
    told(): Promise<string[]>;
    until(what: string): Promise<void>;
  }
  async function open(path = '/'): Promise<Tab> {
    const context = await browser.newContext();
    onTestFinished(() => context.close());
    const page = await context.newPage();
    const errors: string[] = [];
    page.on('pageerror', ({ message }) => errors.push(message));
    onTestFinished(() => expect(errors).toEqual([]));
    await page.goto(origin + path);
    const told = () => page.evaluate<string[]>('told');
    return {
      page,
      context,
      cdp: await context.newCDPSession(page),
      told,
      until: (what) => vi.waitFor(async () => expect(await told()).toContain(what), WAIT),
    };
  }
  const start = ({ page }: Tab, url: string, options: object = {}) =>
    page.evaluate(`start(${JSON.stringify(url)}, ${JSON.stringify(options)})`);
  const publish = async (server: Awaited<ReturnType<typeof serve>>, from: number, to: number) => {
    for (let n = from; n <= to; n += 1) await server.publish('a', `${n}`);
  };
  /** All pages are in `a` and connected. */
  const areIn = (server: Awaited<ReturnType<typeof serve>>, count: number) =>
    vi.waitFor(() => {
      expect(server.rooms().map(({ members }) => members)).toEqual(count ? [count] : []);
      expect(server.members()).toHaveLength(count);
    }, WAIT);

  it('reconnects at once when the network is back, and reports exactly what it missed', async () => {
    const server = await serve();
    const tab = await open();
    // Its pauses alone would exceed the time of this test.
    await start(tab, server.url, { backoff: { baseMs: 6e6, capMs: 6e6 } });
    await tab.until('first 0');
    await tab.context.setOffline(true);
    await tab.until('waiting pong_timeout');
    await publish(server, 1, 3);
    const answer = tab.page.evaluate('room.publish("4")');
    await tab.context.setOffline(false);
    await tab.until('4');
    expect(await answer).toEqual({ seq: 4 });
    const told = (await tab.told()).slice(3);
    expect(told).toEqual(['connecting', 'online', 'partial 3', 'expired 1-3', '4']);
  });

  it('disconnects in a page that is left, and reconnects when it returns from the cache', async () => {
    const server = await serve();
    const witness = await open();
    await start(witness, server.url);
    const tab = await open();
    await start(tab, server.url);
    await tab.until('first 0');
    await areIn(server, 2);
    await tab.page.goto(`${origin}/elsewhere`);
    await areIn(server, 1);
    await publish(server, 1, 3);
    await tab.page.goBack({ waitUntil: 'commit' });
    await tab.until('expired 1-3');
    await publish(server, 4, 4);
    await tab.until('4');
    expect((await tab.told()).slice(2)).toEqual([
      'suspended',
      'connecting',
      'online',
      'partial 3',
      'expired 1-3',
      '4',
    ]);
    await witness.until('4');
    expect((await witness.told()).slice(2)).toEqual(['1', '2', '3', '4']);
  });

  it('leaves one connection and no extra room after a storm of reloads', async () => {
    const server = await serve();
    const tab = await open();
    for (let n = 0; n < 12; n += 1) {
      await start(tab, server.url);
      if (n % 3 === 0) await tab.until('first 0');
      if (n < 11) await tab.page.reload();
    }
    await tab.until('first 0');
    await areIn(server, 1);
  });

  it('uses SockJS if the page may not open a WebSocket', async () => {
    const server = await serve();
    const { host } = new URL(server.url);
    const policy = `default-src 'self' 'unsafe-inline' 'unsafe-eval'; connect-src http://${host}`;
    const tab = await open(`/?policy=${encodeURIComponent(policy)}`);
    await start(tab, server.url, { sockjs: true, backoff: { baseMs: 100 } });
    await tab.until('first 0');
    expect(server.members().map(({ transport }) => transport)).toEqual(['xhr-streaming']);
    expect(await tab.page.evaluate('opened.length')).toBe(2);
    await tab.page.evaluate('room.publish("by SockJS")');
    await tab.until('by SockJS');
    server.kick(server.members()[0]!.id, 'internal_error');
    await tab.until('complete 0');
    // The transport that worked is tried first.
    expect(await tab.page.evaluate('opened.length')).toBe(2);
  });

  describe('examples', () => {
    it('page.html: two pages exchange messages, and continue after a server restart', async () => {
      const first = await serve();
      const path = `/page.html?server=${encodeURIComponent(first.url)}`;
      const [one, two] = [await open(path), await open(path)];
      const log = ({ page }: Tab) => page.locator('#log').innerText();
      const say = async ({ page }: Tab, text: string) => {
        await page.getByLabel('Message').fill(text);
        await page.getByRole('button').click();
      };
      for (const { page } of [one, two]) await page.getByText('online', { exact: true }).waitFor();
      await vi.waitFor(() => expect(first.rooms()).toMatchObject([{ members: 2 }]), WAIT);
      await say(one, '<b>hello</b>');
      await vi.waitFor(async () => {
        expect([await log(one), await log(two)]).toEqual([
          'me: <b>hello</b>',
          'them: <b>hello</b>',
        ]);
      }, WAIT);
      await first.close();
      await say(two, 'said while it was away');
      await serve({ port: Number(new URL(first.url).port) });
      await vi.waitFor(async () => {
        expect(await log(one)).toContain('some messages missing: reset');
        expect(await log(two)).toContain('me: said while it was away');
      }, WAIT);
    });

    it('use-room.js: works in StrictMode for components that share a room; 1,000 mounts leak nothing', async () => {
      const server = await serve();
      const tab = await open();
      await start(tab, server.url);
      await tab.until('first 0');
      const text = () => tab.page.locator('body').innerText();
      await tab.page.evaluate('void (globalThis.unmount = mount(["b", "b"]))');
      await vi.waitFor(async () => expect(await text()).toMatch(/b joined 0:.*b joined 0:/s), WAIT);
      await server.publish('b', 'x');
      await vi.waitFor(async () => expect(await text()).toMatch(/: x.*: x/s), WAIT);
      expect(server.rooms().map(({ members }) => members)).toEqual([1, 1]);
      await tab.page.evaluate('unmount()');
      await areIn(server, 1);
      const mount = (times: number) =>
        tab.page.evaluate(`(async () => {
          for (let n = 0; n < ${times}; n += 1) {
            const unmount = mount(['c']);
            if (n % 10 === 0) await room.publish('tick');
            unmount();
            document.body.lastElementChild.remove();
          }
        })()`);
      const heap = async () => {
        await tab.cdp.send('HeapProfiler.collectGarbage');
        const { usedSize } = await tab.cdp.send('Runtime.getHeapUsage');
        return usedSize;
      };
      await mount(1000);
      const before = await heap();
      await mount(1000);
      // What is compiled and cached is so after the first thousand. A listener and its closures alone
      // would take a megabyte.
      expect((await heap()) - before).toBeLessThan(700_000);
      await areIn(server, 1);
    });
  });
});
