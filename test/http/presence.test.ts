/** Presence over HTTP, on a real server with real connections. */
import { once } from 'node:events';
import { expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { serve } from '../support/server.js';
import { EVERYTHING, SECRET, tokenOf } from '../support/tokens.js';

it('lists users page by page, and single users; other rooms are empty', async () => {
  const { url } = await serve({
    tokenSecret: [SECRET],
    anonymous: true,
    joinBy: 'anyone',
    presence: 'users',
    namespaces: { off: { presence: 'off' } },
  });
  const ask = async (path: string) => {
    const response = await fetch(`${url}/v1/rooms/${path}`);
    const body = (await response.json()) as { users: object[]; next?: string };
    return { status: response.status, body };
  };
  const connect = async (claims?: object) => {
    const headers: Record<string, string> = claims
      ? { authorization: `Bearer ${tokenOf({ rooms: EVERYTHING, ...claims })}` }
      : {};
    const socket = new WebSocket(`${url.replace('http', 'ws')}/ws`, { headers });
    await once(socket, 'message');
    socket.send('{"type":"join","id":1,"room":"a"}');
    await once(socket, 'message');
  };
  for (let n = 0; n < 5; n += 1) await connect({ sub: `u|${n}`, info: { n } });
  await connect({ sub: 'u|0', info: { n: 'later' } });
  await connect();
  const first = await ask('a/presence?limit=3');
  expect(first).toMatchObject({
    status: 200,
    body: {
      room: 'a',
      counts: { users: 5, connections: 6, anonymous: 1 },
      users: [
        { user: 'u|0', connections: 2, info: { n: 'later' } },
        { user: 'u|1', connections: 1, info: { n: 1 } },
        { user: 'u|2' },
      ],
    },
  });
  const second = await ask(
    `a/presence?limit=3&after=${encodeURIComponent(first.body.next as string)}`,
  );
  expect(second.body.users).toMatchObject([{ user: 'u|3' }, { user: 'u|4' }]);
  expect(second.body).not.toHaveProperty('next');
  expect(await ask(`a/presence/${encodeURIComponent('u|0')}`)).toMatchObject({
    status: 200,
    body: { user: 'u|0', connections: 2 },
  });
  expect(await ask('a/presence/x')).toMatchObject({ status: 404, body: { code: 'not_found' } });
  expect(await ask('b/presence')).toMatchObject({ status: 200, body: { users: [] } });
  expect(await ask('off:a/presence')).toMatchObject({ status: 409, body: { code: 'not_enabled' } });
  expect(await ask('%20/presence')).toMatchObject({ status: 400, body: { code: 'bad_room' } });
  for (const query of ['limit=0', 'limit=1001', 'after=-1', 'after=x', 'before=1']) {
    expect(await ask(`a/presence?${query}`)).toMatchObject({ status: 400 });
  }
});
