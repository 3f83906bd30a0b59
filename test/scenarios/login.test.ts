/**
 * A person with a browser logs in to an app and is known to its rooms by the cookie. Others see one
 * user in three tabs, through a reload and a lost network, and the user reads that access was revoked.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { createRoomcast, Refusal } from '../../src/index.js';
import { hasChromium, launchChromium } from '../support/chromium.js';

/** Shows the presence list and its changes, and how the connection ended; reconnects a lost one. */
const PAGE = `<!doctype html>
<form method="post" action="/login"><input name="user"><button>log in</button></form>
<p id="here"></p><p id="events"></p><p id="state">connecting</p>
<script>
  const show = (id, text) => { document.getElementById(id).textContent = text; };
  const users = new Set();
  const events = [];
  let joins = 0;
  connect();
  function connect() {
    const socket = new WebSocket(location.origin.replace('http', 'ws') + '/ws');
    socket.onopen = () => socket.send('{"type":"join","id":1,"room":"a","presence":true}');
    socket.onmessage = ({ data }) => hear(JSON.parse(data));
    socket.onclose = ({ code }) => {
      show('state', 'closed ' + code);
      if (code === 1006) setTimeout(connect, 300);
    };
  }
  function hear(event) {
    if (event.type === 'joined') {
      joins += 1;
      show('state', joins === 1 ? 'joined' : 'joined again');
    }
    if (event.type === 'presence') users.clear();
    for (const { user } of event.users ?? []) users.add(user);
    for (const { user } of event.joined ?? []) { users.add(user); events.push('+' + user); }
    for (const user of event.left ?? []) { users.delete(user); events.push('-' + user); }
    show('here', [...users].sort().join(' '));
    show('events', events.join(' '));
  }
</script>`;

/** An app with its own sessions and rooms. */
async function startApp() {
  const sessions = new Map<string, string>();
  const roomcast = createRoomcast({
    joinBy: 'users',
    presence: 'users',
    presenceIntervalMs: 100,
    presenceLingerMs: 20_000,
    drainMs: 0,
    lameDuckMs: 0,
    auth: {
      connect({ headers }) {
        const session = /session=(\w+)/.exec(headers.cookie ?? '')?.[1] ?? '';
        const user = sessions.get(session);
        if (user === undefined) throw new Refusal('unauthorised', 'Log in first.');
        return { user, tokenId: session };
      },
    },
  });
  const server = createServer(async (request, response) => {
    if (request.method !== 'POST') {
      response.setHeader('content-type', 'text/html').end(PAGE);
      return;
    }
    let body = '';
    for await (const part of request) body += String(part);
    const session = `s${sessions.size}`;
    sessions.set(session, new URLSearchParams(body).get('user') ?? '');
    response.setHeader('set-cookie', `session=${session}; HttpOnly; SameSite=Strict`);
    response.writeHead(303, { location: '/' }).end();
  });
  const sockets = new Map<string, Set<Duplex>>();
  server.on('upgrade', (request, socket, head) => {
    const session = /session=(\w+)/.exec(request.headers.cookie ?? '')?.[1] ?? '';
    const user = sessions.get(session) ?? '';
    sockets.set(user, (sockets.get(user) ?? new Set()).add(socket));
    roomcast.handleUpgrade(request, socket, head);
  });
  /** The network of a user fails for a moment, without a close. */
  const cut = (user: string) => {
    for (const socket of sockets.get(user) ?? []) socket.destroy();
  };
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(async () => {
    await roomcast.close();
    server.closeAllConnections();
    server.close();
  });
  return { roomcast, cut, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` };
}

const shows = (page: Page, id: string, text: string) =>
  page.waitForFunction(`document.getElementById('${id}')?.textContent === '${text}'`);

async function logIn(page: Page, url: string, user: string): Promise<void> {
  await page.goto(url);
  await shows(page, 'state', 'closed 4001');
  await page.fill('input', user);
  await page.click('button');
  await shows(page, 'state', 'joined');
}

describe.skipIf(!hasChromium)('a browser', () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await launchChromium();
  });
  afterAll(() => browser.close());

  /** A browser context with its own cookies. */
  const person = async () => {
    const context = await browser.newContext();
    onTestFinished(() => context.close());
    return context;
  };

  test('logs in, is one user through three tabs, a reload and a lost network, is revoked, and sees it', async () => {
    const { roomcast, cut, url } = await startApp();
    const [ann, bob] = [await person(), await person()];
    const watching = await bob.newPage();
    await logIn(watching, url, 'bob');
    const tab = await ann.newPage();
    await logIn(tab, url, 'ann');
    await shows(watching, 'events', '+ann');
    const others = [await ann.newPage(), await ann.newPage()] as const;
    for (const other of others) {
      await other.goto(url);
      await shows(other, 'here', 'ann bob');
    }
    const connections = () => roomcast.members().filter(({ user }) => user === 'ann').length;
    expect(connections()).toBe(3);
    await others[0].close();
    await tab.reload();
    await shows(tab, 'here', 'ann bob');
    cut('ann');
    for (const page of [tab, others[1]]) await shows(page, 'state', 'joined again');
    await shows(tab, 'here', 'ann bob');
    await others[1].close();
    await vi.waitFor(() => expect(connections()).toBe(1), 20_000);
    // Three tabs, a reload and a lost network: one user joined, none left.
    await shows(watching, 'events', '+ann');
    expect(
      roomcast
        .members()
        .map(({ user }) => user)
        .sort(),
    ).toEqual(['ann', 'bob']);
    expect(roomcast.revoke({ user: 'ann' })).toMatchObject({ closed: 1 });
    await shows(tab, 'state', 'closed 4005');
    await shows(watching, 'events', '+ann -ann');
    // Another connection of the user is refused.
    await tab.reload();
    await shows(tab, 'state', 'closed 4005');
    await shows(watching, 'here', 'bob');
  });
});
