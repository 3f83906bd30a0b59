/**
 * A SockJS session over HTTP: the transport contract and its own parts: responses that end, a peer that
 * has to come back, heartbeats. The clock is virtual, the sockets are real.
 */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { transportContract } from '../contract/transport.js';
import { type Client, httpClient } from '../support/http-requests.js';
import { connectRaw } from '../support/transport-peers.js';
import { startTransports, type TransportServer } from '../support/transport-server.js';

transportContract('xhr-streaming');
transportContract('eventsource');
transportContract('xhr-polling');

const HEARTBEAT_MS = 25_000;
const DISCONNECT_MS = 10_000;
const STREAM = '/sockjs/000/one/xhr_streaming';
const POLL = '/sockjs/000/one/xhr';
const NOTHING = Buffer.alloc(0);

describe('a session in time', () => {
  let server: TransportServer;
  let client: Client;

  beforeEach(async () => {
    vi.useFakeTimers({
      toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'],
    });
    server = await startTransports({ heartbeatMs: HEARTBEAT_MS });
    client = httpClient(server.port);
  });

  afterEach(async () => {
    client.close();
    await server.close();
    // V8: nothing remains of a session, whatever it was waiting for.
    expect(vi.getTimerCount()).toBe(0);
    vi.useRealTimers();
  });

  const openStream = async () => {
    const stream = await client.open('POST', STREAM);
    const session = await server.session();
    await stream.until('o\n');
    return { stream, session };
  };

  const openSession = async () => {
    await client.ask('POST', POLL);
    return server.session();
  };

  test('a stream gets a heartbeat and ends with the next, so that the peer must reconnect', async () => {
    const { stream, session } = await openStream();
    await vi.advanceTimersByTimeAsync(HEARTBEAT_MS - 1);
    await session.send('before');
    await stream.until('before');
    expect(stream.text).not.toContain('h\n]');
    expect(stream.text.endsWith('o\na["before"]\n')).toBe(true);
    await vi.advanceTimersByTimeAsync(1);
    await stream.until('a["before"]\nh\n');
    await vi.advanceTimersByTimeAsync(HEARTBEAT_MS);
    expect((await stream.ended).endsWith('o\na["before"]\nh\n')).toBe(true);
    expect(session.transport.writable).toBe(false);

    const next = await client.open('POST', STREAM);
    await session.send('still the same session');
    await next.until('same');
    expect(session.events).toEqual(['completed', 'ready', 'completed']);
  });

  test('a poll is answered with a heartbeat', async () => {
    const session = await openSession();
    const poll = client.ask('POST', POLL);
    await session.until(() => session.transport.writable);
    await vi.advanceTimersByTimeAsync(HEARTBEAT_MS);
    expect((await poll).body).toBe('h\n');
    expect(session.transport.writable).toBe(false);
  });

  test.each(['xhr', 'xhr_streaming'])(
    'a peer that does not come back is lost (%s)',
    async (action) => {
      const session = await (action === 'xhr'
        ? openSession()
        : openStream().then((s) => s.session));
      if (action === 'xhr_streaming') await vi.advanceTimersByTimeAsync(2 * HEARTBEAT_MS);
      await vi.advanceTimersByTimeAsync(DISCONNECT_MS - 1);
      expect(session.events).toEqual([]);
      await vi.advanceTimersByTimeAsync(1);
      expect(await session.end()).toBe('ended lost');
      expect((await client.ask('POST', `/sockjs/000/one/xhr_send`, { body: '[]' })).status).toBe(
        404,
      );
    },
  );

  test.each(['xhr-streaming', 'eventsource', 'xhr-polling'] as const)(
    '%s: a peer still reading is awaited, however long it takes, and sent nothing more',
    async (name) => {
      const peer = await connectRaw(name, server.port);
      const session = await server.session();
      await session.until(() => session.transport.writable);
      const batch = session.batch('x'.repeat(16 * 1024 * 1024));
      session.transport.write(batch, 1);
      await vi.advanceTimersByTimeAsync(20 * (HEARTBEAT_MS + DISCONNECT_MS));
      expect(session.count('ended lost')).toBe(0);
      const completed = session.until(() => session.count('completed') === 1);
      await peer.read(batch.length);
      await completed;
      // It ends the response: no heartbeats were waiting behind it.
      expect(peer.text).not.toMatch(/h\r?\n/);
      peer.socket.destroy();
      await vi.advanceTimersByTimeAsync(DISCONNECT_MS);
      await session.end();
    },
  );

  test('a peer that disconnects before it has read is dropped at once', async () => {
    const peer = await connectRaw('xhr-streaming', server.port);
    const session = await server.session();
    session.transport.write(session.batch('x'.repeat(16 * 1024 * 1024)), 1);
    peer.socket.end();
    expect(await session.end()).toBe('ended client');
    await server.idle();
  });

  test('a farewell that is not fetched is dropped when the grace is over', async () => {
    const session = await openSession();
    session.transport.close('slow_consumer', session.batch('goodbye'), 1000);
    await vi.advanceTimersByTimeAsync(999);
    expect(session.events).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(await session.end()).toBe('ended slow_consumer');
    expect((await client.ask('POST', POLL)).body).toBe('o\n');
  });

  test('a farewell is dropped with its session when the grace is longer than the wait', async () => {
    const session = await openSession();
    session.transport.close('slow_consumer', session.batch('goodbye'), 60_000);
    await vi.advanceTimersByTimeAsync(DISCONNECT_MS);
    expect(await session.end()).toBe('ended slow_consumer');
  });

  test('a poll that was answered but not read is part of the farewell', async () => {
    const peer = await connectRaw('xhr-polling', server.port);
    const session = await server.session();
    await session.until(() => session.transport.writable);
    session.transport.write(session.batch('x'.repeat(16 * 1024 * 1024)), 1);
    session.transport.close('slow_consumer', NOTHING, 60_000);
    await vi.advanceTimersByTimeAsync(59_999);
    expect(session.events).toEqual(['ready']);
    await vi.advanceTimersByTimeAsync(1);
    expect(await session.end()).toBe('ended slow_consumer');
    peer.socket.destroy();
    await server.idle();
  });

  test('a reset between two polls ends the session', async () => {
    const session = await openSession();
    session.transport.reset('slow_consumer');
    expect(await session.end()).toBe('ended slow_consumer');
    expect((await client.ask('POST', POLL)).body).toBe('o\n');
    expect(server.sessions).toHaveLength(2);
  });
});
