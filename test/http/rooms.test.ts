import { afterEach, beforeEach, expect, it } from 'vitest';
import { type Served, serve } from './support.js';

let server: Served;
beforeEach(async () => {
  server = await serve();
});
afterEach(() => server.stop());

it('lists the largest rooms first', async () => {
  await server.connect('small');
  for (let i = 0; i < 3; i += 1) await server.connect('large', `own-${i}`);
  await server.ask('POST', '/v1/rooms/large/messages', { json: { data: 1 } });
  const epoch = expect.any(String);
  expect((await server.ask('GET', '/v1/rooms?limit=2')).body).toEqual({
    total: 5,
    rooms: [
      { room: 'large', members: 3, seq: 1, epoch },
      { room: 'small', members: 1, seq: 0, epoch },
    ],
  });
  const { body } = await server.ask('GET', '/v1/rooms');
  expect((body as { rooms: unknown[] }).rooms).toHaveLength(5);
});

it('lists no rooms when there are none', async () => {
  expect((await server.ask('GET', '/v1/rooms')).body).toEqual({ total: 0, rooms: [] });
});

it('returns a room', async () => {
  await server.connect('a/b');
  const answer = await server.ask('GET', '/v1/rooms/a%2Fb');
  expect(answer.status).toBe(200);
  expect(answer.body).toMatchObject({ room: 'a/b', members: 1, seq: 0 });
});

it.each([
  ['/v1/rooms/nobody', 404, 'not_found', 'The room nobody has no members.'],
  ['/v1/rooms/constructor', 404, 'not_found', 'The room constructor has no members.'],
  ['/v1/rooms/a%20b', 400, 'bad_room', expect.any(String)],
  ['/v1/rooms?limit=0', 400, 'bad_command', 'limit is 0; it must be >= 1.'],
  ['/v1/rooms?limit=1001', 400, 'bad_command', 'limit is 1001; it must be <= 1000.'],
  ['/v1/rooms?limit=ten', 400, 'bad_command', 'limit is "ten"; it must be integer.'],
  ['/v1/rooms?limit=1.5', 400, 'bad_command', 'limit is "1.5"; it must be integer.'],
  ['/v1/rooms?limit=-1', 400, 'bad_command', 'limit is -1; it must be >= 1.'],
  ['/v1/rooms?limit=true', 400, 'bad_command', 'limit is "true"; it must be integer.'],
  ['/v1/rooms?limit=', 400, 'bad_command', 'limit is ""; it must be integer.'],
  ['/v1/rooms?limit=1e2', 400, 'bad_command', 'limit is "1e2"; it must be integer.'],
  ['/v1/rooms?limt=10', 400, 'bad_command', 'There is no parameter limt.'],
  ['/v1/rooms?limit=1&limit=2', 400, 'bad_command', expect.any(String)],
])('refuses %s', async (path, status, code, message) => {
  const answer = await server.ask('GET', path);
  expect([answer.status, answer.body]).toEqual([status, { code, message }]);
});
