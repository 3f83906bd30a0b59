/** Users and revocations over HTTP, on a real server with real connections. */
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import type { Config } from '../../src/options/config.js';
import { serve } from '../support/server.js';
import { EVERYTHING, SECRET, tokenOf } from '../support/tokens.js';

interface Told {
  readonly type: string;
  readonly [field: string]: unknown;
}

async function start(config: Partial<Config> = {}) {
  const { url, ...server } = await serve({ tokenSecret: [SECRET], ...config });
  const ask = async (method: string, path: string, body?: unknown) => {
    const response = await fetch(url + path, {
      method,
      ...(body !== undefined && {
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      }),
    });
    const text = await response.text();
    return { status: response.status, body: text === '' ? null : JSON.parse(text) };
  };
  /** Resolves once the member is in its rooms. */
  const connect = async (claims: object, ...rooms: string[]) => {
    const headers = { authorization: `Bearer ${tokenOf({ rooms: EVERYTHING, ...claims })}` };
    const socket = new WebSocket(`${url.replace('http', 'ws')}/ws`, { headers });
    const told: Told[] = [];
    socket.on('message', (text) => told.push(JSON.parse(String(text)) as Told));
    const closed = once(socket, 'close').then(([code]) => code as number);
    await once(socket, 'open');
    for (const room of rooms) socket.send(JSON.stringify({ type: 'join', id: room, room }));
    socket.send('{"type":"ping","id":"last"}');
    const until = async (type: string) => {
      while (!told.some((each) => each.type === type)) await once(socket, 'message');
    };
    await until('pong');
    return { socket, told, closed, until };
  };
  return { ...server, ask, connect };
}

describe('a revocation', () => {
  it('closes the connections of a user with 4005 before it is answered, and prevents new ones', async () => {
    const { ask, connect, members } = await start();
    const [one, two, other] = [
      await connect({ sub: '42' }, 'a'),
      await connect({ sub: '42' }),
      await connect({ sub: '43' }, 'a'),
    ];
    const answer = await ask('POST', '/v1/revocations', { user: '42' });
    expect(answer).toMatchObject({ status: 200, body: { closed: 2, left: 0 } });
    expect(members().map(({ user }) => user)).toEqual(['43']);
    expect(await Promise.all([one.closed, two.closed])).toEqual([4005, 4005]);
    expect(other.socket.readyState).toBe(WebSocket.OPEN);
    const headers = { authorization: `Bearer ${tokenOf({ sub: '42' })}` };
    const again = new WebSocket(other.socket.url, { headers });
    expect((await once(again, 'close'))[0]).toBe(4005);

    const { body } = await ask('GET', '/v1/revocations');
    expect(body).toEqual({
      revocations: [
        { id: answer.body.id, user: '42', before: expect.any(Number), until: expect.any(Number) },
      ],
    });
    expect(await ask('DELETE', `/v1/revocations/${answer.body.id}`)).toMatchObject({ status: 204 });
    expect(await ask('DELETE', `/v1/revocations/${answer.body.id}`)).toMatchObject({
      status: 404,
      body: { code: 'not_found' },
    });
    await connect({ sub: '42' }, 'a');
  });

  it('of rooms removes the user from them and prevents joins, also by token', async () => {
    const { ask, connect } = await start();
    const one = await connect({ sub: '42', jti: 't1' }, 'chat:a', 'chat:b', 'news');
    const two = await connect({ sub: '42', jti: 't2' }, 'chat:a');
    const answer = await ask('POST', '/v1/revocations', { token: 't1', room: 'chat:*' });
    expect(answer.body).toMatchObject({ closed: 0, left: 2 });
    await one.until('left');
    one.socket.send('{"type":"join","id":"again","room":"chat:a"}');
    await one.until('error');
    expect(one.told.slice(-3)).toEqual([
      { type: 'left', room: 'chat:a', reason: 'revoked' },
      { type: 'left', room: 'chat:b', reason: 'revoked' },
      { type: 'error', id: 'again', code: 'not_allowed', message: 'You may not join chat:a.' },
    ]);
    expect(two.told.some(({ type }) => type === 'left')).toBe(false);
  });

  it('of a token that has an issue time allows later tokens', async () => {
    const { ask, connect } = await start({ clockToleranceMs: 0 });
    const now = Math.floor(Date.now() / 1000);
    const old = await connect({ sub: '42', iat: now - 100 });
    await ask('POST', '/v1/revocations', { user: '42', before: now - 50 });
    expect(await old.closed).toBe(4005);
    await connect({ sub: '42', iat: now - 10 }, 'a');
  });

  it('is bounded and validated', async () => {
    const { ask } = await start({ maxRevocations: 1 });
    expect((await ask('POST', '/v1/revocations', { user: '1' })).status).toBe(200);
    expect(await ask('POST', '/v1/revocations', { user: '2' })).toMatchObject({
      status: 503,
      body: { code: 'revocations_full' },
    });
    for (const body of [
      {},
      { user: '1', token: '2' },
      { user: 5 },
      [],
      { user: '1', room: '*a' },
    ]) {
      expect(await ask('POST', '/v1/revocations', body)).toMatchObject({
        status: 400,
        body: { code: 'bad_command' },
      });
    }
  });
});

describe('a user', () => {
  it('has connections and rooms, and all of them can be closed', async () => {
    const { ask, connect } = await start();
    const [one] = [await connect({ sub: 'a|b' }, 'a', 'b'), await connect({ sub: '43' }, 'a')];
    const path = `/v1/users/${encodeURIComponent('a|b')}`;
    expect(await ask('GET', path)).toMatchObject({
      status: 200,
      body: { user: 'a|b', members: [{ user: 'a|b', rooms: 2, joined: ['a', 'b'] }] },
    });
    expect(await ask('DELETE', path)).toEqual({ status: 200, body: { closed: 1 } });
    expect(await one?.closed).toBe(4003);
    expect(await ask('GET', path)).toMatchObject({ body: { members: [] } });
  });

  it('is limited in its connections, and refused with 4100', async () => {
    const { connect } = await start({ maxConnectionsPerUser: 2 });
    await connect({ sub: '42' }, 'a');
    const second = await connect({ sub: '42' }, 'a');
    const headers = { authorization: `Bearer ${tokenOf({ sub: '42' })}` };
    const socket = new WebSocket(second.socket.url, { headers });
    expect((await once(socket, 'close'))[0]).toBe(4100);
    await connect({ sub: '43' }, 'a');
    second.socket.close();
    await second.closed;
    await connect({ sub: '42' }, 'a');
  });
});

it('without keys there are no users, and every API says so', async () => {
  const { ask, kickUser, revoke } = await start({ tokenSecret: [] });
  for (const [method, path, body] of [
    ['GET', '/v1/users/42'],
    ['DELETE', '/v1/users/42'],
    ['GET', '/v1/revocations'],
    ['POST', '/v1/revocations', { user: '42' }],
    ['DELETE', '/v1/revocations/x'],
  ] as const) {
    expect(await ask(method, path, body)).toMatchObject({
      status: 409,
      body: { code: 'not_enabled' },
    });
  }
  for (const call of [() => kickUser('42'), () => revoke({ user: '42' })]) {
    expect(call).toThrow(expect.objectContaining({ code: 'not_enabled' }));
  }
});

it('the embedding API offers the same', async () => {
  const { connect, kickUser, revoke } = await start();
  const [one, two] = [await connect({ sub: '1' }, 'a'), await connect({ sub: '2' }, 'a')];
  expect(kickUser('1', 'going_away')).toBe(1);
  expect(revoke({ user: '2', room: 'a' })).toMatchObject({ closed: 0, left: 1 });
  expect(await one?.closed).toBe(4200);
  await two?.until('left');
  expect(() => revoke({ user: '2', token: 'x' })).toThrow('Give one of user and token');
  expect(() => kickUser('1', 'boredom' as 'forbidden')).toThrow('reason "boredom"');
});
