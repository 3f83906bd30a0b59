import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { expect, onTestFinished, test } from 'vitest';
import { WebSocket } from 'ws';
import { compose } from '../src/compose.js';
import type { Config } from '../src/options/config.js';
import { listen } from '../src/serve.js';
import { certificate } from './support/certificate.js';
import { tokenOf } from './support/tokens.js';

async function start(options: Partial<Config>) {
  const first = { port: 0, lameDuckMs: 0, drainMs: 0, ...options };
  const composed = compose(first);
  const served = await listen(composed);
  onTestFinished(async () => void (await served.close()));
  const reload = (next: Partial<Config>) => served.reload({ ...first, ...next });
  return { composed, served, reload };
}

/** A client whose commands are answered in order. */
async function connect(url: string) {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/ws`, { rejectUnauthorized: false });
  onTestFinished(() => socket.terminate());
  const [welcome] = await once(socket, 'message');
  return {
    welcome: JSON.parse(String(welcome)),
    async ask(command: object) {
      socket.send(JSON.stringify({ id: 1, ...command }));
      const [answer] = await once(socket, 'message');
      return JSON.parse(String(answer));
    },
  };
}

test('new policies apply to later joins; members in a room keep their queues', async () => {
  const { composed, served, reload } = await start({ queueMessages: 4 });
  const { ask, welcome } = await connect(served.url);
  const bounds = () =>
    Object.fromEntries(
      Array.from(composed.members.get(welcome.member)!.subscriptions, ([room, { policy }]) => [
        room,
        policy.queueMessages,
      ]),
    );
  await ask({ type: 'join', room: 'a' });
  reload({ queueMessages: 9, namespaces: { chat: { queueMessages: 2 } } });
  await ask({ type: 'join', room: 'b' });
  await ask({ type: 'join', room: 'chat:x' });
  expect(bounds()).toEqual({ a: 4, b: 9, 'chat:x': 2 });
  // The same options again create no second queue for the same policy.
  reload({ queueMessages: 9, namespaces: { chat: { queueMessages: 2 } } });
  await ask({ type: 'join', room: 'c' });
  const { subscriptions } = composed.members.get(welcome.member)!;
  expect(subscriptions.get('c')!.policy).toBe(subscriptions.get('b')!.policy);
});

test('new limits apply to commands at once, and new connections see them in welcome', async () => {
  const { served, reload } = await start({ maxRoomsPerMember: 1, maxJsonDepth: 3 });
  const { ask } = await connect(served.url);
  await ask({ type: 'join', room: 'a' });
  expect(await ask({ type: 'join', room: 'b' })).toMatchObject({ code: 'too_many_rooms' });
  const deep = { type: 'publish', room: 'a', data: [[[[1]]]] };
  expect(await ask(deep)).toMatchObject({ code: 'too_deep' });
  reload({ maxRoomsPerMember: 2, maxJsonDepth: 9 });
  expect(await ask({ type: 'join', room: 'b' })).toMatchObject({ type: 'joined' });
  expect(await ask(deep)).toMatchObject({ room: 'a' });
  expect((await connect(served.url)).welcome.limits.maxRoomsPerMember).toBe(2);
});

test('token keys can change; whether tokens are required cannot', async () => {
  const { served, reload } = await start({ tokenSecret: ['a'.repeat(32)] });
  const auth = async (secret: string) =>
    (await (await connect(served.url)).ask({ type: 'auth', token: tokenOf({ sub: '7' }, secret) }))
      .type;
  expect([await auth('a'.repeat(32)), await auth('b'.repeat(32))]).toEqual([
    'authenticated',
    'error',
  ]);
  reload({ tokenSecret: ['b'.repeat(32)] });
  expect([await auth('a'.repeat(32)), await auth('b'.repeat(32))]).toEqual([
    'error',
    'authenticated',
  ]);
  expect(() => reload({ tokenSecret: [] })).toThrow(
    expect.objectContaining({ code: 'needs_restart', option: 'tokenSecret' }),
  );
});

test('an unusable certificate cancels the whole reload', async () => {
  const { tlsCert, tlsKey } = certificate();
  const { served, reload } = await start({ tlsCert, tlsKey, publishRate: 5 });
  writeFileSync(tlsKey, 'no key');
  expect(() => reload({ publishRate: 6 })).toThrow(
    expect.objectContaining({ code: 'bad_option', option: 'tlsCert' }),
  );
  expect((await connect(served.url)).welcome.limits.publishRate).toBe(5);
});
