import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type Served, serve } from './support.js';

interface Info {
  id: string;
  lagMs: number;
  queued: { messages: number; bytes: number };
}

let server: Served;
beforeEach(async () => {
  server = await serve();
});
afterEach(() => server.stop());

const list = async (query: string) =>
  (await server.ask('GET', `/v1/members?${query}`)).body as { total: number; members: Info[] };
const ids = async (query: string) => (await list(query)).members.map(({ id }) => id);
const publish = async (room: string, data: unknown) => {
  await server.ask('POST', `/v1/rooms/${room}/messages`, { json: { data } });
  await turn();
};

it('returns a member', async () => {
  const before = Date.now();
  const { member } = await server.connect('a', 'b');
  member.roundTripSeconds = 0.0125;
  const answer = await server.ask('GET', `/v1/members/${member.id}`);
  expect(answer.status).toBe(200);
  expect(answer.body).toEqual({
    id: 'member-1',
    user: null,
    transport: 'websocket',
    address: '203.0.113.7',
    connectedAt: expect.toSatisfy((at: number) => at >= before && at <= Date.now()),
    rooms: 2,
    health: 'healthy',
    queued: { messages: 0, bytes: 0 },
    lagMs: 0,
    rttMs: 12.5,
    joined: ['a', 'b'],
  });
});

it('lists the members furthest behind first', async () => {
  await server.connect('a');
  const short = await server.connect('b');
  const long = await server.connect('a');
  short.transport.stalled = true;
  long.transport.stalled = true;
  await publish('b', 'x'.repeat(900));
  for (let i = 0; i < 3; i += 1) await publish('a', 1);
  // The member that fell behind first has the highest lag; the one with large messages has the most
  // bytes.
  expect(await ids('')).toEqual(['member-2', 'member-3', 'member-1']);
  expect(await ids('sort=queue')).toEqual(['member-2', 'member-3', 'member-1']);
  for (let i = 0; i < 20; i += 1) await publish('a', 'y'.repeat(100));
  expect(await ids('sort=queue&limit=2')).toEqual(['member-3', 'member-2']);
  const { total, members } = await list('sort=lag&limit=1');
  expect(total).toBe(3);
  expect(members).toMatchObject([
    { id: 'member-2', rooms: 1, queued: { messages: 1 }, rttMs: null },
  ]);
  expect(members[0]!.lagMs).toBeGreaterThan(0);
  expect(members[0]!.queued.bytes).toBeGreaterThan(900);
});

it('sorts by round trip, unmeasured members last', async () => {
  for (const seconds of [0.1, null, 0.3]) {
    (await server.connect()).member.roundTripSeconds = seconds;
  }
  expect(await ids('sort=rtt')).toEqual(['member-3', 'member-1', 'member-2']);
});

it('lists the members of a room', async () => {
  await server.connect('a');
  await server.connect('a', 'b');
  expect(await list('room=b')).toMatchObject({ total: 1, members: [{ id: 'member-2' }] });
  expect(await list('room=nobody')).toEqual({ total: 0, members: [] });
});

it('closes a member', async () => {
  const { member } = await server.connect('a');
  const other = await server.connect('a');
  const answer = await server.ask('DELETE', `/v1/members/${member.id}`);
  expect([answer.status, answer.text]).toEqual([204, '']);
  expect(server.closed).toEqual([[member.id, 'forbidden']]);
  expect(await ids('')).toEqual([other.member.id]);
});

it('closes a member for a client that declares JSON and sends no body', async () => {
  const { member } = await server.connect();
  const headers = { 'content-type': 'application/json' };
  expect((await server.ask('DELETE', `/v1/members/${member.id}`, { headers })).status).toBe(204);
});

it.each([
  ['GET', '/v1/members/nobody', 404, 'not_found', 'No member has the id nobody.'],
  ['DELETE', '/v1/members/nobody', 404, 'not_found', 'No member has the id nobody.'],
  [
    'GET',
    '/v1/members?sort=age',
    400,
    'bad_command',
    'sort is "age"; it must be one of lag, queue, rtt.',
  ],
  ['GET', '/v1/members?room=a%20b', 400, 'bad_room', expect.any(String)],
  ['GET', '/v1/members?limit=1.5', 400, 'bad_command', 'limit is "1.5"; it must be integer.'],
  ['GET', '/v1/members?limit=one', 400, 'bad_command', 'limit is "one"; it must be integer.'],
])('refuses %s %s', async (method, path, status, code, message) => {
  const answer = await server.ask(method, path);
  expect([answer.status, answer.body]).toEqual([status, { code, message }]);
  expect(server.closed).toEqual([]);
});
