/** Requests of one connection are bounded in number (V3) and share its scheduling. */
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { BoundedRequest, MAX_IN_FLIGHT, Requests } from '../src/requests.js';
import { type Share, Turns } from '../src/turns.js';
import { Signal } from './support/signal.js';

const UPGRADE = 'GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n';

/** Answers when the test calls it. */
async function start() {
  const waiting: { url: string; response: ServerResponse }[] = [];
  const refused: string[] = [];
  const changed = new Signal();
  const turns = new Turns();
  const requests = new Requests({
    turns,
    refused(code) {
      refused.push(code);
      changed.fire();
    },
  });
  const http = createServer({ IncomingMessage: BoundedRequest }, (request, response) => {
    requests.handle(request, response, () => {
      waiting.push({ url: request.url as string, response });
      changed.fire();
    });
  });
  http.on('upgrade', (request, upgraded: Socket) => {
    if (requests.refuse(request)) return;
    requests.upgrade(request, () => upgraded.end('taken'));
    changed.fire();
  });
  await once(http.listen(0, '127.0.0.1'), 'listening');
  const closed = new Promise<void>((resolve) => {
    http.on('connection', (accepted) => accepted.on('close', resolve));
  });
  const socket = connect((http.address() as AddressInfo).port, '127.0.0.1');
  onTestFinished(() => {
    socket.destroy();
    http.closeAllConnections();
    http.close();
  });
  const peer = { text: '', isGone: false };
  socket.on('error', () => {});
  socket.setEncoding('latin1').on('data', (text: string) => {
    peer.text += text;
    changed.fire();
  });
  socket.on('close', () => {
    peer.isGone = true;
    changed.fire();
  });
  const get = (count: number, from = 0) =>
    Array.from({ length: count }, (_, i) => `GET /${from + i} HTTP/1.1\r\nHost: a\r\n\r\n`).join(
      '',
    );
  const { until } = changed;
  return {
    waiting,
    refused,
    requests,
    turns,
    socket,
    peer,
    get,
    closed,
    changed,
    until: until.bind(changed),
  };
}

test('as many requests as allowed are answered in order, and the connection stays open', async () => {
  const { waiting, refused, socket, peer, get, until } = await start();
  for (const round of [0, 1]) {
    socket.write(get(MAX_IN_FLIGHT, round * MAX_IN_FLIGHT));
    await until(() => waiting.length === MAX_IN_FLIGHT);
    for (const { url, response } of waiting.splice(0)) response.end(`<${url}>`);
    await until(() => peer.text.includes(`</${(round + 1) * MAX_IN_FLIGHT - 1}>`));
  }
  const answered = [...peer.text.matchAll(/<\/(\d+)>/g)].map(([, number]) => Number(number));
  expect(answered).toEqual([...Array(2 * MAX_IN_FLIGHT).keys()]);
  expect([refused, peer.isGone]).toEqual([[], false]);
});

test('one more is refused after the others are answered, nothing behind it is parsed, and the connection ends', async () => {
  const { waiting, refused, socket, peer, get, until } = await start();
  socket.write(get(1500));
  await until(() => waiting.length === MAX_IN_FLIGHT && refused.length > 0);
  expect(peer.text).toBe('');
  for (const { url, response } of waiting) response.end(`<${url}>`);
  await until(() => peer.isGone);
  expect(waiting.length).toBe(MAX_IN_FLIGHT);
  expect(refused).toEqual(['rate_limited']);
  const statuses = [...peer.text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status);
  expect(statuses).toEqual([...Array<string>(MAX_IN_FLIGHT).fill('200'), '429']);
  expect(peer.text).toMatch(/"code":"rate_limited"/s);
});

test.each([false, true])(
  'each response of a connection that ends is closed once, also one queued behind others (before an upgrade: %s)',
  async (isUpgrade) => {
    const { waiting, socket, peer, get, until, changed } = await start();
    socket.write(get(6));
    await until(() => waiting.length === 6);
    const closes = waiting.map(({ response }) => {
      const close = { count: 0 };
      response.on('close', () => {
        close.count += 1;
        changed.fire();
      });
      return close;
    });
    // One is answered, one is being answered, and one is answered before its turn.
    waiting[0]?.response.end('first');
    waiting[1]?.response.write('second');
    waiting[3]?.response.end('fourth');
    await until(() => peer.text.includes('second'));
    if (isUpgrade) socket.write(UPGRADE);
    else socket.destroy();
    await until(() => closes.every(({ count }) => count > 0));
    expect(closes.map(({ count }) => count)).toEqual([1, 1, 1, 1, 1, 1]);
  },
);

test.each([1000, 15_000, 30_000, 60_000])(
  'of requests with %i bytes each, a connection holds no more than a bound (V3)',
  async (size) => {
    const { waiting, refused, socket, peer, until } = await start();
    const head = `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${size}\r\n\r\n`;
    socket.write((head + 'x'.repeat(size)).repeat(2 * MAX_IN_FLIGHT));
    await until(() => refused.length > 0);
    await new Promise(setImmediate);
    const held = waiting.map(({ response }) => response.req.readableLength);
    expect(held.reduce((all, bytes) => all + bytes, 0)).toBeLessThanOrEqual(192 * 1024);
    // What was taken is answered, and what follows is not read.
    for (const { response } of waiting) response.end('taken');
    await until(() => peer.isGone);
    expect(refused).toEqual(['rate_limited']);
    const statuses = [...peer.text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status);
    expect(statuses).toEqual([...waiting.map(() => '200'), '429']);
  },
);

test('a long request is handled one item per turn, behind earlier ones', async () => {
  const { requests, socket, get, until } = await start();
  const done: string[] = [];
  const http = createServer((request, response) => {
    requests.handle(request, response, () => {
      done.push(`answer ${request.url}`);
      let items = 0;
      requests.inTurn(request, () => {
        items += 1;
        done.push(`item ${items}`);
        if (items < 3) return true;
        response.end();
        return false;
      });
    });
  });
  await once(http.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => {
    http.closeAllConnections();
    http.close();
  });
  const other = connect((http.address() as AddressInfo).port, '127.0.0.1');
  let text = '';
  other.on('data', (chunk) => {
    text += chunk;
  });
  other.write(get(2));
  while (text.split('HTTP/1.1 200').length < 3) await new Promise(setImmediate);
  const items = ['item 1', 'item 2', 'item 3'];
  expect(done).toEqual(['answer /0', ...items, 'answer /1', ...items]);
  other.destroy();
  socket.destroy();
  await until(() => true);
});

test('a request that waits too long for its turn is reset and counted', async () => {
  const { turns, waiting, refused, socket, peer, get, until } = await start();
  turns.run = (share) => {
    share.end();
    share.work.starved();
  };
  socket.write(get(1));
  await until(() => peer.isGone);
  expect([waiting.length, refused]).toEqual([0, ['rate_limited']]);
});

describe('an upgrade', () => {
  test('is answered in its turn, and no state of its connection is kept', async () => {
    const { turns, socket, peer, until } = await start();
    const held: Share[] = [];
    turns.run = (share) => void held.push(share);
    socket.write(UPGRADE);
    await until(() => held.length === 1);
    expect(peer.text).toBe('');
    held[0]?.work.step();
    await until(() => peer.text === 'taken');
    expect(held[0]?.hasEnded).toBe(true);
  });

  test('whose client is gone is not answered', async () => {
    const { turns, socket, until, closed } = await start();
    const held: Share[] = [];
    turns.run = (share) => void held.push(share);
    socket.write(UPGRADE);
    await until(() => held.length === 1);
    socket.resetAndDestroy();
    await closed;
    expect([held[0]?.hasEnded, held[0]?.work.step()]).toEqual([true, false]);
  });
});
