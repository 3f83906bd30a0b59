import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Hello, Second } from '../../src/page/frame.js';
import { Member } from '../../src/room/member.js';
import { httpClient } from '../support/http-requests.js';
import { Signal } from '../support/signal.js';
import { FakeTransport, type Served, serve } from './support.js';

/** Timeout for events that the other side of a connection sees later. */
const WAIT = { timeout: 10_000, interval: 10 };

let server: Served;
const hangUp: (() => void)[] = [];
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'Date', 'performance'] });
});
afterEach(async () => {
  for (const close of hangUp.splice(0)) close();
  await server.stop();
  vi.useRealTimers();
});

/** A reader of the stream. */
async function watch(headers: Record<string, string> = {}) {
  const client = httpClient(server.port);
  const answer = await client.open('GET', '/v1/live', { headers });
  hangUp.push(() => answer.abort());
  const events = <T>(name: string): T[] =>
    answer.text.split('\n\n').flatMap((text) => {
      const [event, data] = text.split('\n');
      return event === `event: ${name}` ? [JSON.parse(data!.slice('data: '.length)) as T] : [];
    });
  return {
    answer,
    hello: () => events<Hello>('hello')[0]!,
    seconds: () => events<Second>('second'),
  };
}

/** Advances by `seconds`. Readers receive what was written. */
async function pass(seconds: number): Promise<void> {
  for (let i = 0; i < seconds; i += 1) {
    vi.advanceTimersByTime(1000);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** The value of a series in a second. */
const of = (hello: Hello, series: string, { values }: { values: Second['values'] }) =>
  values[hello.series.indexOf(series as Hello['series'][number])];

describe('GET /v1/live', () => {
  it('begins with the history of the server, and continues every second', async () => {
    server = await serve();
    await pass(3);
    const { answer, hello, seconds } = await watch();
    await answer.until('event: hello');
    expect(answer.headers['content-type']).toBe('text/event-stream');
    expect(hello()).toMatchObject({ version: '1.2.3', locks: ['room.lifecycle', 'room.members'] });
    expect(hello().past).toHaveLength(3);
    await pass(2);
    await vi.waitFor(() => expect(seconds()).toHaveLength(2), WAIT);
    for (const { values } of seconds()) expect(values).toHaveLength(hello().series.length);
    expect(seconds()[1]!.at - seconds()[0]!.at).toBe(1000);
  });

  it('lists the members furthest behind, and the rooms', async () => {
    server = await serve();
    const { transport } = await server.connect('room:a');
    await server.connect('room:a', 'room:b');
    transport.stalled = true;
    await server.ask('POST', '/v1/rooms/room:a/messages', { json: { data: 1 } });
    const { answer, hello, seconds } = await watch();
    await answer.until('event: hello');
    await pass(1);
    await answer.until('event: second');
    const second = seconds()[0]!;
    expect(second.members.total).toBe(2);
    expect(second.members.list[0]).toMatchObject({ id: 'member-1', queued: { messages: 1 } });
    expect(second.members.list[0]!.lagMs).toBeGreaterThanOrEqual(1000);
    expect(second.rooms.list).toMatchObject([
      { room: 'room:a', members: 2 },
      { room: 'room:b', members: 1 },
    ]);
    expect(second.workers).toMatchObject([{ slot: 0, members: 2, rooms: 2, broker: 'up' }]);
    expect(of(hello(), 'members', second)).toBe(2);
    expect(of(hello(), 'publishedPerSecond', second)).toBe(1);
    expect(of(hello(), 'deliveredPerSecond', second)).toBe(1);
    expect(of(hello(), 'healthyP99', second)).toBeLessThan(1);
    expect(of(hello(), 'hold room.members', second)).toBeGreaterThan(0);
  });

  it('keeps 15 minutes and no more', async () => {
    server = await serve();
    await pass(1000);
    const { answer, hello } = await watch();
    await answer.until('\n\n');
    expect(hello().past).toHaveLength(900);
  });

  it('requires a key, if the server has one', async () => {
    server = await serve({ apiKey: ['secret'] });
    expect((await server.ask('GET', '/v1/live')).status).toBe(401);
    expect((await server.ask('GET', '/v1/live?key=secret')).status).toBe(401);
    const { answer } = await watch({ authorization: 'Bearer secret' });
    expect(answer.status).toBe(200);
  });

  it('refuses viewers beyond the limit, until one disconnects', async () => {
    server = await serve();
    const viewers = [];
    for (let i = 0; i < 16; i += 1) viewers.push(await watch());
    const refused = await server.ask('GET', '/v1/live');
    expect([refused.status, refused.body]).toMatchObject([503, { code: 'too_many_viewers' }]);
    viewers[0]!.answer.abort();
    await vi.waitFor(async () => expect((await watch()).answer.status).toBe(200), WAIT);
  });

  it('gives the place of a viewer older than half a minute to a newcomer', async () => {
    server = await serve();
    const viewers = [];
    for (let i = 0; i < 16; i += 1) viewers.push(await watch());
    await pass(29);
    expect((await server.ask('GET', '/v1/live')).status).toBe(503);
    await pass(1);
    expect((await watch()).answer.status).toBe(200);
    expect(await viewers[0]!.answer.ended).toBe('aborted');
    expect((await watch()).answer.status).toBe(200);
    expect(await viewers[1]!.answer.ended).toBe('aborted');
  });

  it('replaces a viewer of an address with many places for an address with none', async () => {
    server = await serve({ apiKey: ['secret'], trustProxy: ['127.0.0.1'] });
    const from = (address: string) => ({
      authorization: 'Bearer secret',
      'x-forwarded-for': address,
    });
    const viewers = [];
    for (let i = 0; i < 16; i += 1) viewers.push(await watch(from('203.0.113.5')));
    for (let i = 0; i < 8; i += 1) {
      expect((await watch(from('203.0.113.6'))).answer.status).toBe(200);
      expect(await viewers[i]!.answer.ended).toBe('aborted');
    }
    for (const address of ['203.0.113.5', '203.0.113.6']) {
      const { status } = await server.ask('GET', '/v1/live', { headers: from(address) });
      expect(status).toBe(503);
    }
  });

  it('refuses to queue behind another answer, where a disconnect would go unnoticed', async () => {
    server = await serve();
    const socket = connect(server.port, '127.0.0.1');
    hangUp.push(() => socket.destroy());
    socket.write('GET /v1/live HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(16));
    await once(socket, 'data');
    for (let i = 0; i < 15; i += 1) expect((await watch()).answer.status).toBe(200);
  });

  it('skips a viewer that does not read, buffers little for it, and disconnects it', async () => {
    server = await serve();
    // Seconds of some 200 kB soon fill the kernel's buffers.
    for (let i = 0; i < 20; i += 1) {
      const id = `${i}${'x'.repeat(10_000)}`;
      server.hub.memberships.add(new Member(id, new FakeTransport(), server.hub.memberContext));
    }
    // The reset may arrive while the viewer reads.
    const stalled = connect(server.port, '127.0.0.1')
      .on('error', () => {})
      .pause();
    hangUp.push(() => stalled.destroy());
    stalled.write('GET /v1/live HTTP/1.1\r\nHost: localhost\r\n\r\n');
    const reading = await new Promise<IncomingMessage>((resolve) => {
      get({ port: server.port, path: '/v1/live', agent: false }, resolve);
    });
    hangUp.push(() => reading.destroy());
    const has = new Signal();
    // Three lines per event, including `hello`.
    let lines = 0;
    reading.setEncoding('latin1').on('data', (chunk: string) => {
      lines += chunk.split('\n').length - 1;
      has.fire();
    });
    for (let second = 1; second <= 300; second += 1) {
      await pass(1);
      await has.until(() => lines === 3 * (1 + second));
    }
    let bytes = 0;
    const ended = new Promise((resolve) => stalled.once('close', resolve));
    stalled.on('data', (chunk) => {
      bytes += chunk.length;
    });
    stalled.resume();
    await ended;
    expect(bytes).toBeLessThan(100 * 200_000);
  });
});
