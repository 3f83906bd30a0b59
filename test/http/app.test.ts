import { once } from 'node:events';
import { connect } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { REFUSAL_CODES } from '../../src/metrics/catalogue/connections.js';
import { type Served, serve } from './support.js';

let server: Served;
afterEach(() => server.stop());

it.each([
  ['GET', '/none', 404, { code: 'not_found', message: 'There is no GET /none.' }],
  ['GET', '/v1', 404, { code: 'not_found', message: 'There is no GET /v1.' }],
  ['GET', '/docs/static/%2e%2e/package.json', 404, { code: 'not_found' }],
  ['GET', '/docs/static/none.js', 404, { code: 'not_found' }],
  ['GET', '/%', 400, { code: 'bad_command' }],
  ['GET', '/v1/rooms/%ff', 400, { code: 'bad_command' }],
])('refuses %s %s', async (method, path, status, body) => {
  server = await serve();
  const answer = await server.ask(method, path);
  expect(answer.body).toMatchObject(body);
  expect(answer.status).toBe(status);
  expect(answer.headers['access-control-allow-origin']).toBeUndefined();
  expect(Math.max(...server.recorder.refusedBy)).toBe(1);
  expect(server.logged).toEqual([]);
});

it('answers an internal error with a code, and logs the details', async () => {
  const scrape = () => Promise.reject(new Error('the secret of the house'));
  server = await serve({}, { metrics: { contentType: 'text/plain', scrape } });
  const answer = await server.ask('GET', '/metrics');
  expect(answer.status).toBe(500);
  expect(answer.body).toEqual({
    code: 'internal_error',
    message: 'An internal error; the log of the server has it.',
  });
  expect(server.logged).toMatchObject([{ err: { message: 'the secret of the house' } }]);
  expect(server.recorder.refusedBy[REFUSAL_CODES.indexOf('internal_error')]).toBe(1);
});

it('survives a peer that disconnects in the middle of its body', async () => {
  server = await serve();
  const peer = connect(server.port, '127.0.0.1');
  peer.write(
    'POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"mess',
  );
  await once(peer, 'connect');
  peer.resetAndDestroy();
  expect((await server.ask('GET', '/healthz')).status).toBe(200);
  expect(server.logged).toEqual([]);
});

it('closes the connection after a refusal with a long unread body', async () => {
  server = await serve({ apiKey: ['secret'] });
  for (const path of ['/none', '/v1/messages', '/healthz']) {
    const socket = connect(server.port, '127.0.0.1');
    socket.write(`POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nxxx`);
    const [answer] = await once(socket, 'data');
    expect(String(answer)).toMatch(/^HTTP\/1\.1 4\d\d .*connection: close/is);
    await once(socket, 'close');
  }
});
