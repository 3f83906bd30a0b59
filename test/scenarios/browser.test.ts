/**
 * A real browser: the native WebSocket, and the public `sockjs-client` forced onto each transport,
 * from a page of another origin.
 */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { hasChromium, launchChromium } from '../support/chromium.js';
import { serve } from '../support/server.js';
import { OPEN_WITHIN_MS } from '../support/sockjs-client.js';

const SOCKJS_CLIENT = new URL(
  '../../node_modules/sockjs-client/dist/sockjs.min.js',
  import.meta.url,
);

/** An empty page with the client library, from an origin that is not the server's. */
async function page(): Promise<string> {
  const library = readFileSync(SOCKJS_CLIENT);
  const http = createServer((request, response) => {
    if (request.url === '/sockjs.js') response.end(library);
    else response.setHeader('content-type', 'text/html').end('<script src="/sockjs.js"></script>');
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    http.closeAllConnections();
    http.close();
  });
  return `http://127.0.0.1:${(http.address() as AddressInfo).port}/`;
}

interface Talk {
  readonly url: string;
  /** A SockJS transport, or null for the native WebSocket. */
  readonly transport: string | null;
  readonly rounds: number;
  readonly timeout: number;
}

/** Runs in the browser: joins, publishes, and resolves with the data of every message it got. */
function talk({ url, transport, rounds, timeout }: Talk): Promise<unknown[]> {
  return new Promise((resolve, reject) => {
    const { SockJS } = globalThis as unknown as {
      SockJS: new (url: string, reserved: null, options: object) => WebSocket;
    };
    const socket =
      transport === null
        ? new WebSocket(`${url.replace('http', 'ws')}/ws`)
        : new SockJS(`${url}/sockjs`, null, { transports: [transport], timeout });
    const got: unknown[] = [];
    const publish = () =>
      socket.send(
        JSON.stringify({
          type: 'publish',
          room: 'r',
          data: { n: got.length, text: 'hällo %25 \u2028 😀' },
        }),
      );
    socket.onopen = () => socket.send('{"type":"join","id":1,"room":"r"}');
    socket.onclose = (event) => reject(new Error(`closed with ${event.code} ${event.reason}`));
    socket.onmessage = ({ data }) => {
      const event = JSON.parse(data);
      if (event.type === 'joined') publish();
      if (event.type !== 'message') return;
      got.push(event.data);
      if (got.length < rounds) {
        publish();
        return;
      }
      socket.onclose = null;
      socket.close();
      resolve(got);
    };
  });
}

describe.skipIf(!hasChromium)('a browser', () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await launchChromium();
  });
  afterAll(() => browser.close());

  test.each([
    ['its own WebSocket', null],
    ['SockJS websocket', 'websocket'],
    ['SockJS xhr-streaming', 'xhr-streaming'],
    ['SockJS eventsource', 'eventsource'],
    ['SockJS xhr-polling', 'xhr-polling'],
  ])('exchanges messages over %s', async (_, transport) => {
    const { url } = await serve();
    const tab = await browser.newPage();
    onTestFinished(() => tab.close());
    const errors: string[] = [];
    tab.on('pageerror', (error) => errors.push(error.message));
    await tab.goto(await page());
    const got = await tab.evaluate(talk, { url, transport, rounds: 5, timeout: OPEN_WITHIN_MS });
    expect(got).toEqual([0, 1, 2, 3, 4].map((n) => ({ n, text: 'hällo %25 \u2028 😀' })));
    expect(errors).toEqual([]);
  });
});
