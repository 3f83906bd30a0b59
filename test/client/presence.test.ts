/** Presence as the client sees it, against a scripted server and a real one. */
import { expect, it, onTestFinished, vi } from 'vitest';
import { WebSocket } from 'ws';
import { connect } from '../../client/src/index.js';
import { presence } from '../../client/src/presence.js';
import type { Feature } from '../../client/src/wire.js';
import { serve } from '../support/server.js';
import { SECRET, tokenOf } from '../support/tokens.js';
import { record, rig } from './rig.js';

const counts = { users: 1, connections: 1, anonymous: 0 };
const present = (...users: string[]) => users.map((user) => ({ user, since: 1 }));

async function watched(features: Feature[] = ['since', 'presence']) {
  const all = rig({ features, keeps: 10 });
  const room = all.client.room('a');
  const told = record(room);
  const who = presence(room);
  const changes: string[] = [];
  who.on('change', ({ users, mode }) => changes.push(`${mode}: ${[...users.keys()].join()}`));
  room.join();
  await all.pass(10);
  const say = async (frame: object) => {
    all.server.socket.say({ room: 'a', counts, ...frame });
    await all.pass(2);
  };
  const list = (rev: number, users: string[], done = true) =>
    say({ type: 'presence', mode: 'users', rev, done, users: present(...users) });
  const diff = (after: number, rev: number, joined: string[], left: string[] = []) =>
    say({ type: 'presence_diff', after, rev, joined: present(...joined), left });
  const joins = () =>
    all.server.sockets.flatMap(({ sent }) => sent.filter((c) => c.type === 'join'));
  return { ...all, room, told, who, changes, say, list, diff, joins };
}

it('is requested with the join, and is a paged list followed by changes', async () => {
  const { who, list, diff, joins, changes, room } = await watched();
  expect(presence(room)).toBe(who);
  expect(joins()).toMatchObject([{ presence: true }]);
  expect([who.users.size, who.counts, who.mode]).toEqual([0, null, null]);
  await list(7, ['ann', 'bob'], false);
  await list(7, ['eve']);
  await diff(7, 9, ['joe'], ['bob']);
  expect(changes).toEqual(['users: ann,bob,eve', 'users: ann,eve,joe']);
  expect(who.users.get('joe')).toEqual({ user: 'joe', since: 1 });
  expect(who.counts).toEqual(counts);
});

it('is requested again after a missed change, at the current position', async () => {
  const { server, who, list, diff, joins, told, pass, changes } = await watched();
  server.publish('a', 'x');
  await list(7, ['ann']);
  await diff(8, 9, ['bob']);
  await diff(9, 10, ['eve']);
  await pass(10);
  expect(joins()).toMatchObject([{}, { presence: true, since: { epoch: 'e1', seq: 1 } }]);
  expect([...who.users.keys()]).toEqual(['ann']);
  await list(12, ['bob', 'eve']);
  await diff(12, 13, [], ['eve']);
  server.publish('a', 'y');
  await pass(10);
  expect(changes).toEqual(['users: ann', 'users: bob,eve', 'users: bob']);
  expect(told).toEqual(['joined', 'x', 'complete 0 0', 'y']);
});

it('is the later of two lists if the first is interrupted', async () => {
  const { who, list, diff } = await watched();
  await list(7, ['ann'], false);
  await list(8, ['bob'], false);
  await list(8, ['eve']);
  const before = who.users;
  expect([...before.keys()]).toEqual(['bob', 'eve']);
  await diff(8, 9, [], ['bob']);
  // Earlier maps stay unchanged, so that a component notices the new one.
  expect([[...before.keys()], [...who.users.keys()]]).toEqual([['bob', 'eve'], ['eve']]);
});

it('has counts only if the server sends no list, and a list again later', async () => {
  const { say, list, diff, who, changes } = await watched();
  await list(1, ['ann']);
  await say({ type: 'presence', mode: 'count', rev: 2, counts: { ...counts, users: 2000 } });
  expect(who.counts?.users).toBe(2000);
  await list(5, ['ann']);
  await diff(5, 6, ['bob']);
  expect(changes).toEqual(['users: ann', 'count: ', 'users: ann', 'users: ann,bob']);
});

it('stays while the connection is lost, and is cleared when the room is left', async () => {
  const { server, list, diff, who, room, pass, joins } = await watched();
  await list(1, ['ann']);
  server.socket.drop();
  await pass(2000);
  expect(joins()).toHaveLength(2);
  await diff(1, 2, ['eve']);
  expect([...who.users.keys()]).toEqual(['ann']);
  await list(9, ['bob']);
  expect([...who.users.keys()]).toEqual(['bob']);
  const left = room.leave();
  await pass(10);
  await left;
  expect([who.users.size, who.counts, who.mode]).toEqual([0, null, null]);
});

it('ends if a new token does not allow it, without affecting the next join', async () => {
  const { client, server, list, say, who, changes, pass, joins, room } = await watched();
  await list(1, ['ann']);
  await say({ type: 'presence', mode: 'off', counts: undefined });
  expect([who.users.size, who.counts, who.mode]).toEqual([0, null, null]);
  expect(changes).toEqual(['users: ann', 'null: ']);
  server.socket.drop();
  await pass(2000);
  expect(joins().map((join) => join['presence'])).toEqual([true, undefined]);
  expect(room.state).toBe('joined');
  // The app may call `presence` again once it is allowed.
  const again = presence(client.room('a'));
  expect(again).not.toBe(who);
  await pass(10);
  await list(7, ['bob']);
  expect([...again.users.keys()]).toEqual(['bob']);
  expect(joins().at(-1)).toMatchObject({ presence: true });
});

it('makes a joined room rejoin, and emits an error if the server does not support it', async () => {
  const { client, server, errors, pass } = rig({ features: ['since'] });
  const room = client.room('a');
  room.join();
  await pass(10);
  presence(room);
  await pass(10);
  expect(server.socket.sent.map(({ type, presence }) => [type, presence])).toEqual([
    ['ping', undefined],
    ['join', undefined],
    ['leave', undefined],
    ['join', true],
  ]);
  expect([room.state, errors]).toEqual(['joined', ['not_offered']]);
});

it('follows a real server: users join, leave, and stay through a lost connection', async () => {
  const { url, kick, members } = await serve({
    tokenSecret: [SECRET],
    presence: 'users',
    presenceBy: 'users',
    presenceIntervalMs: 10,
    presenceLingerMs: 500,
  });
  const user = (sub: string) => {
    const client = connect(`${url}/ws`, {
      WebSocket: (to) => new WebSocket(to),
      getToken: () => tokenOf({ sub, rooms: { '*': ['join', 'publish', 'presence'] } }),
      lifecycle: false,
      backoff: { baseMs: 50 },
    });
    onTestFinished(() => client.close());
    return client;
  };
  const ann = user('ann');
  const who = presence(ann.room('a'));
  const seen: string[] = [];
  who.on('change', ({ users }) => seen.push([...users.keys()].sort().join()));
  const names = (expected: string[]) =>
    vi.waitFor(() => expect([...who.users.keys()].sort()).toEqual(expected), { timeout: 20_000 });
  await ann.room('a').join();
  await names(['ann']);
  const bob = user('bob');
  await bob.room('a').join();
  await names(['ann', 'bob']);
  // Back within the linger: no event for the others.
  kick(members().find(({ user }) => user === 'bob')!.id, 'internal_error');
  await vi.waitFor(() => expect(bob.room('a').state).toBe('waiting'), { timeout: 20_000 });
  await bob.room('a').join();
  await bob.close();
  await names(['ann']);
  expect(new Set(seen)).toEqual(new Set(['ann', 'ann,bob']));
});
