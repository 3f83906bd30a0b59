/**
 * The embedding application's auth hooks: every answer, and every failure, which becomes a coded refusal
 * for that connection only and delays no other (V16).
 */
import { PassThrough } from 'node:stream';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { Auth, Principal } from '../../src/auth/auth.js';
import { createLog } from '../../src/cli/log.js';
import { Refusal } from '../../src/errors.js';
import { createRoomcast } from '../../src/index.js';
import type { Log } from '../../src/log.js';
import type { Config } from '../../src/options/config.js';
import { onSurvived } from '../../src/survived.js';
import { FakeTransport } from '../support/fake-transport.js';
import { SECRET } from '../support/tokens.js';
import { openCore, startCore } from '../support/virtual.js';

function start(auth: Auth, config: Partial<Config> = {}) {
  const error = vi.fn<Log['error']>();
  const { core, settle, pass } = startCore({
    auth,
    config,
    log: { info: () => {}, warn: () => {}, error },
  });
  const connect = (headers: Record<string, string> = {}) => {
    const transport = new FakeTransport();
    const handshake = { headers, url: '/ws?v=2', address: '192.0.2.1' };
    transport.sink = core.sessions.accept(transport, handshake);
    return {
      transport,
      handshake,
      say: (command: object) => transport.say(JSON.stringify(command)),
      get told() {
        return transport.events.slice(1);
      },
    };
  };
  return { core, settle, pass, connect, error };
}

const EVERYBODY = { joinBy: 'users', publishBy: 'users' } as const;
/** Reads the user from a cookie, like an application with sessions. */
const bySession: Auth = {
  connect: ({ headers }) => {
    const user = /session=(\w+)/.exec(headers.cookie ?? '')?.[1];
    return user === undefined ? null : { user };
  },
};
const never = () => new Promise<never>(() => {});

describe('connect', () => {
  it('gets the headers, cookies and address of the request, and returns the identity', async () => {
    const connected = vi.fn<NonNullable<Auth['connect']>>(({ headers }) => ({
      user: String(headers.cookie),
      may: (action, room) => action === 'join' && room === 'a',
    }));
    const { connect, settle, core } = start({ connect: connected });
    const peer = connect({ cookie: 'ann' });
    peer.say({ type: 'join', id: 1, room: 'a' });
    peer.say({ type: 'publish', id: 2, room: 'a', data: 1 });
    peer.say({ type: 'join', id: 3, room: 'b' });
    await settle();
    expect(connected).toHaveBeenCalledExactlyOnceWith(
      peer.handshake,
      null,
      expect.any(AbortSignal),
    );
    expect(peer.transport.events[0]).toMatchObject({ auth: 'required' });
    expect(peer.told).toMatchObject([
      { type: 'joined', id: 1 },
      { id: 2, code: 'not_allowed' },
      { id: 3, code: 'not_allowed' },
    ]);
    expect(core.people.count('ann')).toBe(1);
    core.people.revoke({ user: 'ann' });
    expect(peer.told.at(-1)).toMatchObject({ type: 'closing', code: 4005 });
    const again = connect({ cookie: 'ann' });
    await settle();
    expect(again.told).toMatchObject([{ code: 'token_revoked' }, { code: 4005 }]);
  });

  it('gets the token of the request and of each auth command, and may reject any', async () => {
    const connected: Auth['connect'] = async (_handshake, token) => {
      await Promise.resolve();
      return token === null ? null : { user: token, expiresAt: Date.now() + 60_000 };
    };
    const { connect, settle, pass } = start({ connect: connected }, EVERYBODY);
    const known = connect({ authorization: 'Bearer ann' });
    known.say({ type: 'join', id: 1, room: 'a' });
    const late = connect();
    late.say({ type: 'join', id: 2, room: 'a' });
    late.say({ type: 'auth', id: 3, token: 'bob' });
    late.say({ type: 'join', id: 4, room: 'a' });
    late.say({ type: 'auth', id: 5, token: 'ann' });
    await settle();
    expect(known.told).toMatchObject([{ type: 'joined' }]);
    expect(late.told).toMatchObject([
      { id: 2, code: 'unauthorised' },
      { id: 3, type: 'authenticated', user: 'bob' },
      { id: 4, type: 'joined' },
      { id: 5, code: 'identity_changed' },
    ]);
    await pass(71_500);
    expect(late.told.at(-1)).toMatchObject({ type: 'closing', code: 4105 });
  });

  it('that returns no identity leads to a close after authMs', async () => {
    const one = start(bySession, { authMs: 1000 });
    const peer = one.connect();
    await one.pass(900);
    expect(peer.transport.isOpen).toBe(true);
    await one.pass(200);
    expect(peer.told).toMatchObject([{ type: 'closing', code: 4106 }]);
  });

  it('that returns no identity keeps the connection where anonymous ones are allowed', async () => {
    const { connect, settle } = start(bySession, { anonymous: true, joinBy: 'anyone' });
    const nobody = connect();
    nobody.say({ type: 'join', id: 1, room: 'a' });
    nobody.say({ type: 'auth', id: 2, token: 'x' });
    await settle();
    // A client that sends a token expects to be authenticated.
    expect(nobody.told).toMatchObject([
      { type: 'joined' },
      { id: 2, code: 'token_invalid' },
      { code: 4001 },
    ]);
  });

  it('without an expiry is reported without one, and not asked again', async () => {
    const connected = vi.fn(() => ({ user: 'ann' }));
    const { connect, settle, pass, core } = start({ connect: connected });
    const peer = connect();
    await settle();
    peer.say({ type: 'auth', id: 1, token: 'x' });
    await settle();
    expect(peer.told).toEqual([{ type: 'authenticated', id: 1, user: 'ann' }]);
    await pass(3000);
    expect(connected).toHaveBeenCalledTimes(2);
    expect(core.auth.alarms?.size).toBe(0);
  });

  it.each<[string, NonNullable<Auth['connect']>, string, number]>([
    ['refuses', () => Promise.reject(new Refusal('unauthorised', 'No.')), 'unauthorised', 4001],
    ['says forbidden', () => Promise.reject(new Refusal('forbidden', 'No.')), 'forbidden', 4003],
    ['says expired', () => ({ user: 'a', expiresAt: 1 }), 'token_expired', 4105],
    [
      'throws',
      () => {
        throw new Error('no database');
      },
      'check_failed',
      4106,
    ],
    ['rejects', () => Promise.reject(new Error('no database')), 'check_failed', 4106],
    ['hangs', never, 'check_failed', 4106],
    ['says nothing', () => undefined as unknown as null, 'check_failed', 4106],
    ['says a word', () => 'ann' as unknown as null, 'check_failed', 4106],
    ['says a function', () => (() => 'ann') as unknown as null, 'check_failed', 4106],
    ['says no user', () => ({ user: '' }), 'check_failed', 4106],
    ['says a big number', () => ({ user: 42n as unknown as string }), 'check_failed', 4106],
    ['shows one', () => ({ user: 'a', info: 42n }), 'check_failed', 4106],
    [
      'ends in one',
      () => ({ user: 'a', expiresAt: 42n as unknown as number }),
      'check_failed',
      4106,
    ],
    ['says a long one', () => ({ user: 'a'.repeat(129) }), 'check_failed', 4106],
    ['says no end', () => ({ user: 'a', expiresAt: Number.NaN }), 'check_failed', 4106],
    ['has a bad name', () => ({ user: 'a', tokenId: '\n' }), 'check_failed', 4106],
    [
      'cannot say what it may',
      () => ({ user: 'a', may: true }) as unknown as Principal,
      'check_failed',
      4106,
    ],
  ])('that %s ends that connection with a code, in time, and a line', async (...row) => {
    const [, connected, code, close] = row;
    const { connect, pass, error } = start({ connect: connected }, { authMs: 1000 });
    const peer = connect();
    await pass(1100);
    expect(peer.told).toMatchObject([
      { type: 'error', code },
      { type: 'closing', code: close },
    ]);
    const lines = code === 'check_failed' ? 1 : 0;
    expect(error).toHaveBeenCalledTimes(lines);
    if (lines === 1) {
      expect(error.mock.calls[0]).toMatchObject([
        { question: 'connect' },
        'the auth of the app failed',
      ]);
    }
  });

  it('that hangs for one connection delays no other, and is aborted', async () => {
    const aborted: unknown[] = [];
    const connected: Auth['connect'] = ({ headers }, _token, signal) => {
      signal.addEventListener('abort', () => aborted.push(headers.cookie));
      return headers.cookie === 'slow' ? never() : { user: 'ann' };
    };
    const { connect, settle, pass } = start({ connect: connected }, { ...EVERYBODY, authMs: 1000 });
    const [slow, gone] = [connect({ cookie: 'slow' }), connect({ cookie: 'slow' })];
    const good = connect({ cookie: 'good' });
    good.say({ type: 'join', id: 1, room: 'a' });
    await settle();
    expect(good.told).toMatchObject([{ type: 'joined' }]);
    gone.transport.break();
    await settle();
    expect(aborted).toEqual(['slow']);
    await pass(1100);
    expect(aborted).toEqual(['slow', 'slow']);
    expect(slow.transport.closed).toBe('not_authenticated');
  });

  it('that fails for an authenticated connection changes nothing', async () => {
    const connected: Auth['connect'] = (_handshake, token) => {
      if (token !== null) throw new Error('no database');
      return { user: 'ann' };
    };
    const { connect, settle } = start({ connect: connected }, EVERYBODY);
    const peer = connect();
    peer.say({ type: 'auth', id: 1, token: 'x' });
    peer.say({ type: 'auth', id: 2, token: 'x'.repeat(9000) });
    peer.say({ type: 'join', id: 3, room: 'a' });
    await settle();
    expect(peer.told).toMatchObject([
      { id: 1, code: 'check_failed' },
      { id: 2, code: 'token_too_big' },
      { id: 3, type: 'joined' },
    ]);
  });

  it.each<[string, () => unknown]>([
    [
      'throws',
      () => {
        throw new Error('no table');
      },
    ],
    ['is async', () => Promise.resolve(true)],
    // An unhandled rejection would end the process.
    ['is async and rejects', () => Promise.reject(new Error('no table'))],
    ['says nothing', () => undefined],
    ['says a function', () => () => true],
  ])('whose may %s allows nothing, with a line', async (_name, answer) => {
    const may = answer as () => boolean;
    const { connect, settle, error } = start({ connect: () => ({ user: 'ann', may }) });
    const peer = connect();
    peer.say({ type: 'join', id: 1, room: 'a' });
    await settle();
    expect(peer.told).toMatchObject([{ id: 1, code: 'not_allowed' }]);
    expect(error).toHaveBeenCalledOnce();
  });
});

describe('join', () => {
  it('is asked once, after all other checks and before the room', async () => {
    const join = vi.fn<NonNullable<Auth['join']>>(async (_who, room) => room !== 'b');
    const { connect, settle, core } = start({ ...bySession, join }, EVERYBODY);
    const peer = connect({ cookie: 'session=ann' });
    for (const [id, room] of ['a', 'b', 'a', 'c'].entries()) {
      peer.say({ type: 'join', id, room });
    }
    peer.say({ type: 'publish', id: 4, room: 'c', data: 1 });
    await settle();
    expect(peer.told).toMatchObject([
      { id: 0, type: 'joined' },
      { id: 1, code: 'not_allowed' },
      { id: 2, code: 'already_joined' },
      { id: 3, type: 'joined' },
      { id: 4, type: 'published' },
      { type: 'message' },
    ]);
    const [member] = core.hub.members.keys();
    expect(join.mock.calls.map(([who, room]) => [who, room])).toEqual(
      ['a', 'b', 'c'].map((room) => [{ member, user: 'ann', handshake: peer.handshake }, room]),
    );
    expect(join.mock.calls[0]?.[0].handshake).toBe(peer.handshake);
    expect(core.hub.rooms.has('b')).toBe(false);
  });

  it('that allows a join after a revocation does not let the member in (V15)', async () => {
    let say: (isAllowed: boolean) => void = () => {};
    const join = () => new Promise<boolean>((resolve) => (say = resolve));
    const { connect, settle, core } = start({ ...bySession, join }, EVERYBODY);
    const peer = connect({ cookie: 'session=ann' });
    peer.say({ type: 'join', id: 1, room: 'a' });
    await settle();
    core.people.revoke({ user: 'ann', room: 'a' });
    say(true);
    await settle();
    expect(peer.told).toMatchObject([{ id: 1, code: 'not_allowed' }]);
  });

  it.each<[string, NonNullable<Auth['join']>, string]>([
    ['throws', () => Promise.reject(new Error('no database')), 'check_failed'],
    ['hangs', never, 'check_failed'],
    ['says a number', () => 1 as unknown as boolean, 'check_failed'],
    ['says a big number', () => 1n as unknown as boolean, 'check_failed'],
    ['says a function', () => (() => true) as unknown as boolean, 'check_failed'],
    ['says a symbol', () => Symbol('yes') as unknown as boolean, 'check_failed'],
    ['refuses', () => Promise.reject(new Refusal('room_busy', 'Full.')), 'room_busy'],
  ])('that %s is refused, and the connection goes on', async (_name, join, code) => {
    const { connect, pass, error } = start({ join }, { authMs: 1000 });
    const peer = connect();
    peer.say({ type: 'join', id: 1, room: 'a' });
    peer.say({ type: 'ping', id: 2 });
    await pass(1100);
    expect(peer.told).toMatchObject([
      { id: 1, code },
      { id: 2, type: 'pong' },
    ]);
    expect(error).toHaveBeenCalledTimes(code === 'check_failed' ? 1 : 0);
  });
});

describe('publish', () => {
  it('passes, replaces or refuses messages, in order, however long each takes', async () => {
    const held: (() => void)[] = [];
    const publish: Auth['publish'] = async (who, _room, data) => {
      expect(who.user).toBe(null);
      if (data === 'slow') await new Promise<void>((resolve) => held.push(resolve));
      if (data === 'bad') return false;
      return data === 'rude' ? { data: { text: 'polite' } } : true;
    };
    const { connect, settle } = start({ publish });
    const peer = connect();
    peer.say({ type: 'join', room: 'a' });
    for (const [id, data] of ['slow', 'rude', 'bad', 'good'].entries()) {
      peer.say({ type: 'publish', id, room: 'a', data, key: 'k' });
    }
    await settle();
    expect(peer.told).toEqual([]);
    held[0]?.();
    await settle();
    const messages = peer.told.filter(({ type }) => type === 'message');
    expect(messages).toMatchObject(
      ['slow', { text: 'polite' }, 'good'].map((data) => ({ data, key: 'k' })),
    );
    expect(peer.told.find((event) => 'id' in event && event.id === 2)).toMatchObject({
      code: 'not_allowed',
    });
  });

  it('cannot change the message by modifying its copy', async () => {
    const publish: Auth['publish'] = (_who, _room, data) => {
      (data as { text: string }).text = 'other';
      return true;
    };
    const { connect, settle } = start({ publish });
    const peer = connect();
    peer.say({ type: 'join', room: 'a' });
    peer.say({ type: 'publish', room: 'a', data: { text: 'mine' } });
    await settle();
    expect(peer.told.at(-1)).toMatchObject({ type: 'message', data: { text: 'mine' } });
  });

  it('is not asked about publishers without the right, nor about the application’s own publishes', async () => {
    const publish = vi.fn(() => true);
    const { connect, settle, core } = start({ publish }, { publishBy: 'nobody' });
    const peer = connect();
    peer.say({ type: 'publish', id: 1, room: 'a', data: 1 });
    peer.say({ type: 'join', room: 'a' });
    peer.say({ type: 'publish', id: 2, room: 'a', data: 1 });
    await settle();
    core.hub.publish(null, 'a', '1');
    await settle();
    expect(publish).not.toHaveBeenCalled();
    expect(peer.told).toMatchObject([
      { id: 1, code: 'not_joined' },
      { id: 2, code: 'not_allowed' },
      { type: 'message' },
    ]);
  });

  it('holds back later messages, while a history request holds back nothing', async () => {
    const publish: Auth['publish'] = () => true;
    const { connect, settle, core } = start({ ...bySession, publish }, EVERYBODY);
    const peer = connect({ cookie: 'session=ann' });
    peer.say({ type: 'join', room: 'a' });
    await settle();
    // The broker does not answer.
    vi.spyOn(core.hub, 'backfill').mockImplementation(() => new Promise(() => {}));
    peer.say({ type: 'history', id: 1, room: 'a', last: 1 });
    peer.say({ type: 'auth', id: 2, token: 'x' });
    peer.say({ type: 'publish', id: 3, room: 'a', data: 1 });
    await settle();
    expect(peer.told.filter(({ type }) => type !== 'message')).toMatchObject([
      { id: 2, type: 'authenticated' },
      { id: 3, type: 'published' },
    ]);
  });

  const circle: { self?: unknown } = {};
  circle.self = circle;
  it.each<[string, NonNullable<Auth['publish']>, string]>([
    ['throws', () => Promise.reject(new Error('no model')), 'check_failed'],
    ['hangs', never, 'check_failed'],
    ['says nothing', () => undefined as unknown as boolean, 'check_failed'],
    ['gives a circle', () => ({ data: circle }), 'check_failed'],
    ['says a big number', () => 1n as unknown as boolean, 'check_failed'],
    ['gives a big number', () => ({ data: 1n }), 'check_failed'],
    ['gives no data', () => ({ data: undefined }), 'check_failed'],
    ['gives too much', () => ({ data: 'x'.repeat(70_000) }), 'check_failed'],
    ['refuses', () => Promise.reject(new Refusal('not_allowed', 'Be kind.')), 'not_allowed'],
  ])('that %s publishes nothing, with a code', async (_name, publish, code) => {
    const { connect, pass, core, error } = start({ publish }, { authMs: 1000 });
    const peer = connect();
    peer.say({ type: 'join', room: 'a' });
    peer.say({ type: 'publish', id: 1, room: 'a', data: 1 });
    await pass(1100);
    expect(peer.told).toMatchObject([{ id: 1, code }]);
    expect(error).toHaveBeenCalledTimes(code === 'check_failed' ? 1 : 0);
    expect(core.broker.topics.get('a')?.delivered.seq).toBe(0);
  });
});

describe('a permission check in which the application ends all connections', () => {
  /** What two members do. `may` ends both at the given call; returns the number of its calls. */
  async function live(endsAt: number): Promise<number> {
    let calls = 0;
    const may = () => {
      calls += 1;
      if (calls !== endsAt) return true;
      for (const member of [...core.hub.members.values()]) core.sessions.close(member, 'forbidden');
      return true;
    };
    const world = openCore({
      auth: { connect: (_request, token) => (token === null ? null : { user: token, may }) },
      config: {
        anonymous: true,
        historyBy: 'grant',
        presence: 'users',
        presenceBy: 'grant',
        presenceLingerMs: 0,
        namespaces: { open: { joinBy: 'anyone' } },
      },
      keeps: 100,
    });
    const { core, settle } = world;
    // Such as a write after the close frame.
    const errors: unknown[] = [];
    onTestFinished(onSurvived((error) => errors.push(error)));
    for (let n = 0; n < 40; n += 1) await core.hub.publish(null, 'a', `"${'x'.repeat(1000)}"`);
    const transports: FakeTransport[] = [];
    for (const user of ['bob', 'ann']) {
      const transport = new FakeTransport();
      transports.push(transport);
      const handshake = { headers: {}, url: '/ws', address: '192.0.2.1' };
      transport.sink = core.sessions.accept(transport, handshake);
      for (const command of [
        { type: 'join', room: 'open:b' },
        { type: 'auth', token: user },
        { type: 'join', room: 'a', presence: true, last: 40 },
        { type: 'history', room: 'a', last: 40 },
        { type: 'auth', token: user },
      ]) {
        transport.say(JSON.stringify(command));
      }
      await settle();
    }
    for (const transport of transports) transport.break();
    await settle();
    core.checkEmpty();
    const { rooms, presence } = core.hub;
    const left = ['a', 'open:b'].filter((room) => rooms.has(room) || presence.of(room));
    expect({ endsAt, left, errors }).toEqual({ endsAt, left: [], errors: [] });
    await world.close();
    return calls;
  }

  it('leaves nothing behind, whichever check it is', async () => {
    const calls = await live(0);
    expect(calls).toBeGreaterThan(20);
    for (let endsAt = 1; endsAt <= calls; endsAt += 1) await live(endsAt);
  });
});

describe('the log', () => {
  const TOKEN = 'a-token-that-nobody-is-to-read';
  /** Errors as HTTP client libraries throw them. */
  function failure(): Error {
    const headers = { Authorization: `Bearer ${TOKEN}` };
    return Object.assign(new Error(`401 for ${TOKEN}`, { cause: { headers } }), {
      code: 'ERR_BAD_REQUEST',
      config: { headers },
      request: { path: `/?token=${TOKEN}` },
    });
  }
  const fails = () => {
    throw failure();
  };

  it.each<[string, Auth]>([
    ['connect', { connect: fails }],
    ['connect', { connect: () => TOKEN as unknown as Principal }],
    ['join', { ...bySession, join: fails }],
    ['publish', { ...bySession, publish: async () => fails() }],
    ['may', { connect: () => ({ user: 'ann', may: fails }) }],
    ['join', { ...bySession, join: () => Promise.reject(`no ${TOKEN}`) }],
  ])('of a %s that fails has why, and no token', async (question, auth) => {
    const out = new PassThrough();
    const log = createLog({ logLevel: 'info', logFormat: 'json' }, out, new PassThrough());
    const { core, settle } = startCore({ auth, config: question === 'may' ? {} : EVERYBODY, log });
    const transport = new FakeTransport();
    const headers = { authorization: `Bearer ${TOKEN}`, cookie: 'session=ann' };
    transport.sink = core.sessions.accept(transport, { headers, url: '/ws', address: '192.0.2.1' });
    await settle();
    transport.say(JSON.stringify({ type: 'join', room: 'a' }));
    transport.say(JSON.stringify({ type: 'publish', room: 'a', data: 1 }));
    await settle();
    const text = String(out.read());
    expect(text).toContain('the auth of the app failed');
    expect(text).toContain(`"question":"${question}"`);
    expect(text).toContain('(token)');
    expect(text).not.toContain(TOKEN);
    if (text.includes('ERR_BAD_REQUEST')) {
      expect(text).toMatch(/"message":"401 for \(token\)".*"stack":"Error: 401 for .*asking\.test/);
    }
  });

  it.each([
    ['of the request', `Bearer ${TOKEN}`, []],
    ['that was sent', '', [JSON.stringify({ type: 'auth', token: TOKEN })]],
  ])(
    'of a connect that refuses has its text up to a limit, without the token %s',
    async (_, authorization, sent) => {
      const info = vi.fn<Log['info']>();
      const { core, settle } = startCore({
        auth: {
          connect({ headers }, token) {
            if (token === null) return null;
            throw new Refusal(
              'unauthorised',
              `${headers.cookie} has ${token} ${'x'.repeat(10_000)}`,
            );
          },
        },
        log: { info, warn() {}, error() {} },
      });
      const transport = new FakeTransport();
      const headers = { authorization, cookie: 'ann' };
      transport.sink = core.sessions.accept(transport, {
        headers,
        url: '/ws',
        address: '192.0.2.1',
      });
      await settle();
      for (const text of sent) transport.say(text);
      await settle();
      const [fields] = info.mock.calls.at(-1) as [{ why: string }, string];
      expect(fields.why).toMatch(/^ann has \(token\) x+$/);
      expect(fields.why).toHaveLength(4000);
    },
  );
});

it('an invalid auth option is refused at construction', () => {
  const wrong: [unknown, object][] = [
    [{}, { code: 'bad_option' }],
    [null, { code: 'bad_option' }],
    [() => true, { code: 'bad_option' }],
    [{ conect: () => null }, { code: 'bad_option' }],
    [{ connect: true }, { code: 'bad_option' }],
    [{ connect: () => null, join: 1 }, { code: 'bad_option' }],
  ];
  for (const [auth, error] of wrong) {
    expect(() => createRoomcast({ auth: auth as Auth })).toThrow(
      expect.objectContaining({ option: 'auth', ...error }),
    );
  }
  expect(() => createRoomcast({ auth: bySession, tokenSecret: [SECRET] })).toThrow(
    expect.objectContaining({ option: 'auth', code: 'unfit_options' }),
  );
});
