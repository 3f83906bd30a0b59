/** The live page in a real browser. */
import { once } from 'node:events';
import axe from 'axe-core';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { WebSocket } from 'ws';
import { ALERTS } from '../../grafana/src/alerts.js';
import { Crowd } from '../../src/load/crowd.js';
import type { Scenario } from '../../src/load/plan.js';
import { startTestServer } from '../../src/testing.js';
import { hasChromium, launchChromium } from '../support/chromium.js';
import { ScriptedBroker } from '../support/scripted-broker.js';
import { serve } from '../support/server.js';
import { SECRET } from '../support/tokens.js';

const WAIT = { timeout: 50_000, interval: 100 };

/** A tab: its page, errors and requests. */
interface Tab {
  readonly page: Page;
  /** Console errors, except failed requests. */
  readonly errors: string[];
  readonly requests: string[];
  text(selector: string): Promise<string>;
  /** The value and the text below it of a tile, by its label. */
  tile(label: string): Promise<{ value: string; beside: string }>;
}

async function axeFindings(page: Page): Promise<unknown> {
  await page.evaluate(axe.source);
  return page.evaluate(
    'axe.run().then(({ violations }) => violations.map((each) => each.id + ": " + each.nodes[0].html))',
  );
}

interface Look {
  readonly width?: number;
  readonly scheme?: 'light' | 'dark';
}

describe.runIf(hasChromium)('the live page', () => {
  let browser: Browser;
  const tabs: Tab[] = [];
  beforeAll(async () => {
    browser = await launchChromium();
  });
  afterAll(() => browser.close());

  async function open(url: string, { width = 1440, scheme = 'light' }: Look = {}): Promise<Tab> {
    const context = await browser.newContext({
      viewport: { width, height: 900 },
      colorScheme: scheme,
    });
    onTestFinished(() => context.close());
    const page = await context.newPage();
    const tab: Tab = {
      page,
      errors: [],
      requests: [],
      text: async (selector) => (await page.locator(selector).first().innerText()).trim(),
      async tile(label) {
        const box = page.locator('#tiles > div', { has: page.getByText(label, { exact: true }) });
        const [value = '', beside = ''] = await box.locator('dd').allInnerTexts();
        return { value, beside };
      },
    };
    page.on('console', (message) => {
      // The browser logs each failed request; the page reports it itself.
      const isNetwork = /Failed to load resource|WebSocket connection to/.test(message.text());
      if (message.type() === 'error' && !isNetwork) tab.errors.push(message.text());
    });
    page.on('pageerror', (error) => tab.errors.push(error.message));
    page.on('request', (request) => tab.requests.push(request.url()));
    page.on('websocket', (socket) => tab.requests.push(socket.url()));
    await page.addInitScript(
      'addEventListener("securitypolicyviolation", (event) => console.error("blocked:", event.violatedDirective, event.blockedURI))',
    );
    await page.goto(url);
    tabs.push(tab);
    return tab;
  }

  const isLive = (tab: Tab) =>
    vi.waitFor(async () => expect(await tab.text('#state')).toBe('live'), WAIT);

  /** Joins the room page:abcd-0000. */
  async function crowdOf(url: string, scenario: Scenario): Promise<Crowd> {
    const crowd = await Crowd.join(url, { size: '100', roomPrefix: 'page:', ...scenario }, 'abcd');
    onTestFinished(() => crowd.close());
    return crowd;
  }

  /** After every test: no errors, and no requests to other hosts. */
  afterEach(() => {
    for (const { page, errors, requests } of tabs.splice(0)) {
      expect(errors).toEqual([]);
      const { host } = new URL(page.url());
      for (const request of requests) expect(new URL(request).host).toBe(host);
    }
  });

  it('shows values that change', async () => {
    const { url } = await serve({ publishRate: 0 });
    const tab = await open(url);
    await isLive(tab);
    expect(await tab.text('#sentence')).toBe('No members are connected.');
    const crowd = await crowdOf(url, { members: '20', rate: '20/s' });
    crowd.publish();
    await vi.waitFor(async () => {
      expect(await tab.tile('Members')).toEqual({ value: '20', beside: 'in 1 room' });
      expect((await tab.tile('Deliveries')).value).toMatch(/^[34]\d\d\/s$/);
      expect((await tab.tile('Healthy p99')).value).toMatch(/^[\d.]+ (µs|ms)$/);
      // On a busy machine a member may be slow for a moment.
      expect(await tab.text('#sentence')).toMatch(/^20 members/);
    }, WAIT);
    expect(await tab.page.locator('#members tr').count()).toBe(20);
    expect(await tab.text('#rooms tr')).toMatch(/^page:abcd-0000\s+20\s+\d+$/);
    crowd.hush();
    await vi.waitFor(async () => {
      expect((await tab.tile('Deliveries')).value).toBe('0/s');
      expect((await tab.tile('Healthy p99')).value).toBe('–');
    }, WAIT);
    // Past values are still drawn.
    const inked =
      await tab.page.evaluate(`[...document.querySelectorAll('canvas')].map((canvas) => {
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      return data.some((value) => value > 0);
    })`);
    expect(inked).toEqual(Array.from({ length: 8 }, () => true));
  });

  it('shows the slow members, and that the others are unaffected', async () => {
    const { url } = await serve({ publishRate: 0, queueMessages: 64 });
    const crowd = await crowdOf(url, {
      members: '10',
      rate: '100/s',
      size: '16000',
      cohorts: ['stalled=1'],
    });
    const tab = await open(url);
    crowd.disturb();
    crowd.publish();
    await vi.waitFor(async () => {
      expect(await tab.text('#sentence')).toMatch(/^1 of 10 members is slow\./);
      expect(await tab.text('#members tr')).toMatch(/^\S+\s+(lagging|shedding)\s+[\d.]+ (ms|s)\s/);
      expect((await tab.tile('Queue memory')).value).toMatch(/[KM]iB$/);
      expect((await tab.tile('Drops')).value).not.toBe('0/s');
      const legend = await tab.text('figure:nth-child(3) .legend');
      expect(legend).toMatch(/drop-oldest\s+[1-9][\d.k]*\/s/);
      expect(legend).toMatch(/conflated\s+0\/s/);
      expect(await tab.tile('Slow members')).toEqual({ value: '1', beside: '10 % of all' });
    }, WAIT);
    // On a busy machine others may have been slow for a moment.
    expect(await tab.text('#tiles > div:nth-child(2) dd:last-child')).toMatch(
      /^last minute up to [1-9]\d*$/,
    );
  });

  it('explains how to connect while it has no members; then finds, sorts and opens members and rooms', async () => {
    const { url } = await serve({ publishRate: 0 });
    const tab = await open(url, { width: 390 });
    await isLive(tab);
    const { host } = new URL(url);
    await vi.waitFor(async () => {
      expect(await tab.text('#idle-terminal')).toContain(`npx wscat -c ws://${host}/ws`);
    }, WAIT);
    const crowd = await crowdOf(url, { members: '5', rate: '5/s' });
    crowd.publish();
    await vi.waitFor(async () => {
      expect(await tab.page.locator('#idle').isVisible()).toBe(false);
      expect(await tab.page.locator('#members tr').count()).toBe(5);
    }, WAIT);
    const id = await tab.text('#members tr:nth-child(2) .open');
    await tab.page.getByLabel('Find').fill(id.toLowerCase());
    await tab.page.getByLabel('Members by').selectOption('queue');
    await vi.waitFor(async () => {
      expect(await tab.text('#members')).toMatch(new RegExp(`^${id}\\s+healthy`));
      expect(await tab.page.locator('#members tr').count()).toBe(1);
      expect(await tab.text('#rooms')).toBe('No room matches.');
    }, WAIT);
    await tab.page.getByRole('button', { name: id }).click();
    await vi.waitFor(async () => {
      expect(await tab.text('#detail')).toMatch(
        new RegExp(`^Member ${id}\\s.*Rooms\\s+page:abcd-0000`, 's'),
      );
    }, WAIT);
    await tab.page.getByLabel('Find').fill('PAGE:');
    await tab.page.getByRole('button', { name: 'page:abcd-0000' }).click();
    await vi.waitFor(async () => {
      expect(await tab.text('#detail')).toMatch(
        /^Room page:abcd-0000\s.*Members\s+5\s.*Slow\s+none/s,
      );
    }, WAIT);
    await tab.page.getByRole('button', { name: 'Close' }).click();
    expect(await tab.page.locator('#detail').isVisible()).toBe(false);
    // The chat is one tap away from anywhere on the page.
    await tab.page.evaluate('scrollTo(0, 0)');
    await tab.page.getByRole('link', { name: 'Talk', exact: true }).click();
    await vi.waitFor(async () => {
      const { y = 900, height = 0 } = (await tab.page.locator('#say').boundingBox()) ?? {};
      expect(y + height).toBeLessThanOrEqual(900);
    }, WAIT);
  });

  it('reports that the server has stopped, and reconnects', async () => {
    const first = await serve();
    const { port } = new URL(first.url);
    const tab = await open(first.url);
    await isLive(tab);
    await tab.page.getByRole('button', { name: 'Join' }).click();
    await vi.waitFor(async () => expect(await tab.text('#log')).toContain('You are in'), WAIT);
    await first.close();
    await vi.waitFor(async () => {
      expect(await tab.text('#state')).toBe('no answer');
      expect(await tab.text('#notice')).toMatch(
        /^The server has not answered since \d\d:\d\d:\d\d\./,
      );
      expect(await tab.page.locator('#send').isDisabled()).toBe(true);
    }, WAIT);
    await serve({ port: Number(port) });
    await isLive(tab);
    expect(await tab.page.locator('#notice').isVisible()).toBe(false);
    await vi.waitFor(async () => {
      expect(await tab.text('#chat-state')).toMatch(/^in chat:lobby/);
      expect((await tab.tile('Members')).value).toBe('1');
    }, WAIT);
  });

  it('exchanges messages between two tabs, and inserts them as text', async () => {
    const { url } = await serve();
    const [one, two] = [await open(url), await open(url)];
    for (const tab of [one, two]) {
      await tab.page.getByLabel('Room', { exact: true }).fill('chat:test');
      await tab.page.getByRole('button', { name: 'Join' }).click();
      await vi.waitFor(async () => expect(await tab.text('#log')).toContain('You are in'), WAIT);
    }
    const said = '<img src=x onerror="document.title = 1"> hällo';
    await one.page.getByLabel('Message', { exact: true }).fill(said);
    await one.page.getByRole('button', { name: 'Send' }).click();
    await vi.waitFor(async () => {
      expect(await one.text('#log li:last-child')).toMatch(/^\d\d:\d\d:\d\d you </);
      expect(await two.text('#log li:last-child')).toContain(said);
    }, WAIT);
    expect(await two.text('#log li:last-child')).not.toContain(' you ');
    expect(await two.page.title()).toBe('roomcast');
    // Another room is separate.
    await two.page.getByLabel('Room', { exact: true }).fill('chat:other');
    await two.page.getByRole('button', { name: 'Join' }).click();
    await vi.waitFor(async () => expect(await two.text('#log')).toContain('in chat:other'), WAIT);
    await one.page.getByLabel('Message', { exact: true }).fill('alone');
    await one.page.keyboard.press('Enter');
    await vi.waitFor(async () => expect(await one.text('#log')).toContain('alone'), WAIT);
    expect(await two.text('#log')).not.toContain('alone');
  });

  it('shows presence, history and replays, and ends a connection after a confirmation', async () => {
    const server = await startTestServer({
      tokenSecret: [SECRET],
      presence: 'users',
      historyMessages: 50,
    });
    onTestFinished(() => server.close());
    const join = async (user: string, since?: object) => {
      const socket = new WebSocket(server.url);
      onTestFinished(() => socket.terminate());
      await once(socket, 'open');
      const rooms = { '*': ['join', 'publish', 'history', 'presence'] } as const;
      const token = await server.token({ user, rooms });
      socket.send(JSON.stringify({ type: 'auth', token }));
      socket.send(JSON.stringify({ type: 'join', id: 1, room: 'r', presence: true, since }));
      return socket;
    };
    await join('ada');
    const { epoch, seq } = await server.publish('r', 0);
    for (let n = 0; n < 30; n += 1) await server.publish('r', n);
    const tab = await open(server.httpUrl, { width: 390, scheme: 'dark' });
    await isLive(tab);
    const bob = await join('bob', { epoch, seq });
    await vi.waitFor(async () => {
      expect(await tab.tile('Users')).toEqual({ value: '2', beside: '2 watch presence' });
      expect((await tab.tile('History')).value).toMatch(/ KiB$/);
      expect(await tab.text('#tiles > div:nth-child(9) dd:last-child')).toMatch(/up to [1-9]/);
      expect(await tab.text('#members')).toMatch(/\sada\s.*\sbob\s/s);
    }, WAIT);
    await tab.page.getByRole('button', { name: 'r', exact: true }).click();
    await vi.waitFor(async () => {
      expect(await tab.text('#detail')).toMatch(/History\s+from 1\s+Users\s+ada, bob\s/);
    }, WAIT);
    expect(await tab.page.locator('#end-member').isVisible()).toBe(false);
    const row = tab.page.locator('#members tr', { hasText: 'bob' });
    await row.getByRole('button').click();
    await vi.waitFor(async () => expect(await tab.text('#detail')).toMatch(/User\s+bob/), WAIT);
    // Neither at the first click nor after a cancel.
    await tab.page.getByRole('button', { name: 'End this connection' }).click();
    expect(await axeFindings(tab.page)).toEqual([]);
    await tab.page.getByRole('button', { name: 'No, leave it' }).click();
    await tab.page.getByRole('button', { name: 'End this connection' }).click();
    expect(server.members()).toHaveLength(2);
    const closed = once(bob, 'close');
    await tab.page.getByRole('button', { name: 'Yes, end it' }).click();
    expect((await closed)[0]).toBe(4003);
    await vi.waitFor(async () => {
      expect(await tab.text('#detail')).toContain('Gone');
      expect(await tab.page.locator('#end-member').isVisible()).toBe(false);
      expect((await tab.tile('Users')).value).toBe('1');
    }, WAIT);
  });

  it('reports when the broker is unreachable, and when it is back', async () => {
    const broker = new ScriptedBroker();
    const server = await startTestServer({ broker });
    onTestFinished(() => server.close());
    const tab = await open(server.httpUrl);
    await isLive(tab);
    expect(await tab.page.locator('#broker').isVisible()).toBe(false);
    broker.become('suspended');
    await vi.waitFor(async () => {
      expect(await tab.text('#broker')).toMatch(/^The broker cannot be reached\./);
    }, WAIT);
    expect(await axeFindings(tab.page)).toEqual([]);
    broker.become('up');
    await vi.waitFor(async () => {
      expect(await tab.page.locator('#broker').isVisible()).toBe(false);
    }, WAIT);
  });

  it('asks for the API key, and keeps it out of every URL', async () => {
    const { url } = await serve({ apiKey: ['the-secret-key'] });
    const tab = await open(url);
    await vi.waitFor(async () => expect(await tab.text('#state')).toBe('locked'), WAIT);
    await tab.page.getByLabel('API key').fill('wrong');
    await tab.page.keyboard.press('Enter');
    await vi.waitFor(async () => {
      expect(await tab.text('#lock-problem')).toBe('This API key is not valid.');
    }, WAIT);
    await tab.page.getByLabel('API key').fill('the-secret-key');
    await tab.page.getByRole('button', { name: 'Open' }).click();
    await isLive(tab);
    expect(await tab.page.locator('#lock').isVisible()).toBe(false);
    await tab.page.reload();
    await isLive(tab);
    for (const request of tab.requests) expect(request).not.toContain('key=');
    for (const request of tab.requests) expect(request).not.toContain('secret');
    const other = await open(url);
    await vi.waitFor(async () => expect(await other.text('#state')).toBe('locked'), WAIT);
  });

  it('works with the keyboard only', async () => {
    const { url } = await serve();
    const tab = await open(url);
    await isLive(tab);
    const focused = () =>
      tab.page.evaluate<string>('document.activeElement.id || document.activeElement.textContent');
    await tab.page.keyboard.press('Tab');
    expect(await focused()).toBe('Skip to the chat');
    await tab.page.keyboard.press('Enter');
    await tab.page.keyboard.press('Tab');
    expect(await focused()).toBe('room');
    await tab.page.keyboard.press('Enter');
    await vi.waitFor(async () => expect(await tab.text('#log')).toContain('You are in'), WAIT);
    while ((await focused()) !== 'text') await tab.page.keyboard.press('Tab');
    await tab.page.keyboard.type('by keyboard');
    await tab.page.keyboard.press('Enter');
    await vi.waitFor(async () => expect(await tab.text('#log')).toContain('by keyboard'), WAIT);
    // The cursor of all charts at once.
    const times = tab.page.locator('figcaption .at');
    expect((await times.allInnerTexts()).join('')).toBe('');
    await tab.page.locator('.canvas').first().focus();
    await vi.waitFor(async () => {
      // The cursor cannot move before the first second is drawn.
      await tab.page.keyboard.press('ArrowLeft');
      for (const time of await times.allInnerTexts()) expect(time).toMatch(/^\d\d:\d\d:\d\d$/);
    }, WAIT);
  });

  it.each([
    [360, 'light'],
    [360, 'dark'],
    [1440, 'light'],
    [1440, 'dark'],
  ] as const)('fits into %d pixels, %s', async (width, scheme) => {
    const { url } = await serve();
    const crowd = await crowdOf(url, { members: '3', rate: '10/s' });
    crowd.publish();
    const tab = await open(url, { width, scheme });
    await isLive(tab);
    await vi.waitFor(
      async () => expect(await tab.page.locator('#members tr').count()).toBe(3),
      WAIT,
    );
    expect(await tab.page.evaluate('document.documentElement.scrollWidth')).toBe(width);
    const [r = 0] = (
      await tab.page.evaluate<string>('getComputedStyle(document.body).backgroundColor')
    )
      .match(/\d+/g)!
      .map(Number);
    if (scheme === 'dark') expect(r).toBeLessThan(60);
    else expect(r).toBeGreaterThan(200);
    // No content is cut off, and every chart has its width.
    const cut =
      await tab.page.evaluate(`[...document.querySelectorAll('figure, #tiles div, header')]
      .filter((each) => each.scrollWidth > each.clientWidth + 1).map((each) => each.outerHTML)`);
    expect(cut).toEqual([]);
    // axe can only run if the page's policy is bypassed.
    const context = await browser.newContext({
      viewport: { width, height: 900 },
      colorScheme: scheme,
      bypassCSP: true,
    });
    onTestFinished(() => context.close());
    const checked = await context.newPage();
    await checked.goto(url);
    await checked.waitForSelector('#members tr');
    expect(await axeFindings(checked)).toEqual([]);
  });

  it('draws its charts in the colours of the scheme, and redraws when it changes', async () => {
    const { url } = await serve();
    const tab = await open(url, { scheme: 'light' });
    await isLive(tab);
    /** Red value (0 to 255) of the first opaque pixel of the axis text. */
    const ink = () =>
      tab.page.evaluate<number>(`(() => {
        const canvas = document.querySelector('canvas');
        const { data } = canvas.getContext('2d').getImageData(0, 0, 40, canvas.height);
        let solid = [];
        for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 250) solid.push(data[i]);
        return solid.length === 0 ? -1 : solid[0];
      })()`);
    await vi.waitFor(async () => expect(await ink()).toBe(0x5f), WAIT);
    await tab.page.emulateMedia({ colorScheme: 'dark' });
    await vi.waitFor(async () => expect(await ink()).toBe(0x9a), WAIT);
  });

  it('has a policy that blocks other hosts and inline scripts', async () => {
    const { url } = await serve();
    const policy = (await fetch(url)).headers.get('content-security-policy') ?? '';
    expect(policy).toContain("default-src 'none'");
    expect(policy).not.toContain('unsafe');
    const tab = await open(url);
    await isLive(tab);
    await tab.page.evaluate(
      `document.body.append(Object.assign(document.createElement('script'), { textContent: 'document.title = "written in"' }))`,
    );
    expect(await tab.page.title()).toBe('roomcast');
    await vi.waitFor(
      () => expect(tab.errors.join()).toMatch(/blocked: script-src-elem inline/),
      WAIT,
    );
    tab.errors.length = 0;
  });

  it('serves the runbook', async () => {
    const { url } = await serve();
    const tab = await open(`${url}/runbook#roomcasteventlooplag`);
    expect(await tab.text(':target')).toBe('RoomcastEventLoopLag');
    expect(await tab.page.locator('h2').count()).toBe(ALERTS.length);
  });
});
