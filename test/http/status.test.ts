import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { parse, sum, unaccounted } from '../metrics/support.js';
import { type Served, serve } from './support.js';

let server: Served;
afterEach(() => server.stop());

it('reports liveness and readiness, also right after it begins to close', async () => {
  server = await serve();
  expect((await server.ask('GET', '/healthz')).body).toEqual({ status: 'alive' });
  expect((await server.ask('GET', '/readyz')).body).toEqual({ status: 'ready' });
  server.closing.abort();
  const answer = await server.ask('GET', '/readyz');
  expect([answer.status, answer.body]).toMatchObject([503, { code: 'shutting_down' }]);
  expect((await server.ask('GET', '/healthz')).status).toBe(200);
});

it('is not ready while it cannot verify tokens', async () => {
  server = await serve({}, { auth: { isReady: false, mode: 'required' } });
  const answer = await server.ask('GET', '/readyz');
  expect([answer.status, answer.body]).toMatchObject([503, { code: 'keys_unavailable' }]);
  expect((await server.ask('GET', '/healthz')).status).toBe(200);
});

describe('/metrics', () => {
  it('accounts for every message of a busy server (V10)', async () => {
    server = await serve({ queueMessages: 4 });
    const members = [];
    for (let i = 0; i < 3; i += 1) members.push(await server.connect('a'));
    const [healthy, stalled, leaving] = members;
    stalled!.transport.stalled = true;
    leaving!.transport.stalled = true;
    for (let i = 0; i < 10; i += 1) {
      await server.ask('POST', '/v1/rooms/a/messages', { json: { data: i } });
      await turn();
      expect(unaccounted(parse((await server.ask('GET', '/metrics')).text))).toBe(0);
    }
    server.hub.memberships.remove(leaving!.member);
    const answer = await server.ask('GET', '/metrics');
    expect(answer.headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
    const series = parse(answer.text);
    expect(unaccounted(series)).toBe(0);
    expect(healthy!.transport.messages).toHaveLength(10);
    const of = (name: string) => sum(series, `roomcast_${name}`);
    expect(of('published_total')).toBe(10);
    expect(of('fanout_total')).toBe(30);
    expect(of('members')).toBe(2);
    expect(of('rooms')).toBe(1);
    expect(of('delivered_total')).toBe(10);
    expect(of('queue_messages')).toBe(stalled!.member.queuedMessages);
    expect(of('queue_bytes')).toBe(server.hub.memory.bytes);
    // One batch in flight and four messages queued for each of the two members that do not read.
    expect(of('dropped_total')).toBe(2 * (10 - 5));
    expect(of('abandoned_total')).toBe(5);
  });

  it('can be switched off', async () => {
    server = await serve({ metrics: false });
    const answer = await server.ask('GET', '/metrics');
    expect([answer.status, answer.body]).toMatchObject([404, { code: 'not_found' }]);
  });
});
