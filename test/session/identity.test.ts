/** Authentication of a connection, from its first token to its last. */
import { describe, expect, it, vi } from 'vitest';
import { Refusal } from '../../src/errors.js';
import { type Log, silent } from '../../src/log.js';
import type { Config } from '../../src/options/config.js';
import { FakeTransport } from '../support/fake-transport.js';
import { EVERYTHING, SECRET, tokenOf } from '../support/tokens.js';
import { startCore } from '../support/virtual.js';

/** A server with a secret. HMAC runs in a thread, which fake timers do not wait for. */
function start(config: Partial<Config> = {}, log: Log = silent) {
  const world = startCore({ config: { tokenSecret: [SECRET], ...config }, log });
  const { core } = world;
  /** Token checks held back by the test. */
  const held: (() => void)[] = [];
  let isHeld = false;
  const underWay = new Set<Promise<unknown>>();
  const check = core.auth.check.bind(core.auth);
  vi.spyOn(core.auth, 'check').mockImplementation(async (...args) => {
    const checked = check(...args);
    underWay.add(checked);
    try {
      return await checked;
    } finally {
      underWay.delete(checked);
      if (isHeld) await new Promise<void>((resolve) => held.push(resolve));
    }
  });
  const settle = async () => {
    do {
      await Promise.allSettled(underWay);
      await world.settle();
    } while (underWay.size > 0);
  };
  const pass = async (ms: number) => {
    await world.pass(ms);
    await settle();
  };
  /** A connection and its events after the welcome. */
  const connect = (headers?: Record<string, string>) => {
    const transport = new FakeTransport();
    const handshake = { headers: headers ?? {}, url: '/ws', address: '192.0.2.1' };
    transport.sink = core.sessions.accept(transport, handshake);
    const say = (command: object) => transport.say(JSON.stringify(command));
    return {
      transport,
      say,
      async tell(command: object) {
        say(command);
        await settle();
      },
      auth: (claims: object, id = 1) => say({ type: 'auth', id, token: tokenOf({ ...claims }) }),
      get told() {
        return transport.events.slice(1);
      },
      get last() {
        return transport.events.at(-1);
      },
    };
  };
  return {
    core,
    settle,
    pass,
    connect,
    hold: () => {
      isHeld = true;
    },
    release: async () => {
      isHeld = false;
      for (const go of held.splice(0)) go();
      await settle();
    },
  };
}

const ALL = { sub: '42', rooms: EVERYTHING };
const inSeconds = (seconds: number) => Math.floor(Date.now() / 1000) + seconds;

it('a connection whose peer has sent its close frame is not indexed, and its check is aborted', async () => {
  const { core, connect, settle, hold } = start();
  const [known, coming] = [connect(), connect()];
  known.auth(ALL);
  await settle();
  hold();
  coming.auth(ALL);
  await settle();
  expect([core.people.count('42'), core.auth.alarms?.size]).toEqual([1, 2]);
  // Its close frame has arrived; the end of the connection may take the peer a while.
  for (const { transport } of [known, coming]) transport.sink?.left();
  expect([core.people.count('42'), core.auth.alarms?.size]).toEqual([0, 0]);
  expect(core.people.revoke({ user: '42' })).toMatchObject({ closed: 0 });
  const signals = vi.mocked(core.auth.check).mock.calls.map(([, , signal]) => signal.aborted);
  expect(signals.at(-1)).toBe(true);
  for (const { transport } of [known, coming]) transport.break();
});

describe('a token', () => {
  it('authenticates, and may be followed in one go by commands that need it', async () => {
    const { connect, settle } = start();
    const peer = connect();
    peer.auth(ALL);
    peer.say({ type: 'join', id: 2, room: 'a' });
    peer.say({ type: 'publish', id: 3, room: 'a', data: 1 });
    await settle();
    expect(peer.transport.events[0]).toMatchObject({
      type: 'welcome',
      auth: 'required',
      features: expect.arrayContaining(['auth']),
      limits: { maxTokenBytes: 8192 },
    });
    expect(peer.told).toMatchObject([
      { type: 'authenticated', id: 1, user: '42' },
      { type: 'joined', id: 2 },
      { type: 'published', id: 3 },
      { type: 'message', user: '42', data: 1 },
    ]);
  });

  it('has a refreshInMs of 70 to 90 % of its remaining lifetime', async () => {
    const { connect, settle } = start();
    const times: number[] = [];
    for (let n = 0; n < 50; n += 1) {
      const peer = connect();
      peer.auth({ ...ALL, exp: inSeconds(100) });
      await settle();
      const { expiresInMs, refreshInMs } = peer.last as {
        expiresInMs: number;
        refreshInMs: number;
      };
      expect(expiresInMs).toBeLessThanOrEqual(100_000);
      expect(expiresInMs).toBeGreaterThan(99_000);
      expect(refreshInMs / expiresInMs).toBeGreaterThan(0.69);
      expect(refreshInMs / expiresInMs).toBeLessThan(0.901);
      times.push(refreshInMs);
    }
    expect(new Set(times).size).toBeGreaterThan(25);
  });

  it('may be in the opening request, and then gets no reply', async () => {
    const { connect, settle } = start();
    const peer = connect({ authorization: `Bearer ${tokenOf(ALL)}` });
    peer.say({ type: 'join', id: 1, room: 'a' });
    await settle();
    expect(peer.told).toMatchObject([{ type: 'joined', id: 1 }]);
  });

  it('is refused if there are no keys, as the welcome says', async () => {
    const { connect, settle } = start({ tokenSecret: [] });
    const peer = connect({ authorization: 'Bearer x' });
    await peer.tell({ type: 'auth', id: 1, token: 'x' });
    await peer.tell({ type: 'join', id: 2, room: 'a' });
    await settle();
    expect(peer.transport.events[0]).toMatchObject({
      auth: 'off',
      features: expect.not.arrayContaining(['auth']),
    });
    expect(peer.transport.events[0]).not.toHaveProperty('limits.maxTokenBytes');
    expect(peer.told).toMatchObject([
      { type: 'error', id: 1, code: 'not_enabled' },
      { type: 'joined', id: 2 },
    ]);
  });
});

describe('a connection that is not authenticated', () => {
  it('may ping and authenticate, and nothing else', async () => {
    const { connect, settle } = start();
    const peer = connect();
    for (const command of [
      { type: 'ping', id: 1 },
      { type: 'join', id: 2, room: 'a' },
      { type: 'publish', id: 3, room: 'a', data: 1 },
      { type: 'leave', id: 4, room: 'a' },
    ]) {
      peer.say(command);
    }
    await settle();
    expect(peer.told).toMatchObject([
      { type: 'pong', id: 1 },
      ...[2, 3, 4].map((id) => ({ type: 'error', id, code: 'unauthorised' })),
    ]);
  });

  it('is closed with 4106 after authMs, however much it pings', async () => {
    const { connect, pass } = start({ authMs: 3000 });
    const peer = connect();
    for (let n = 0; n < 29; n += 1) {
      peer.say({ type: 'ping' });
      await pass(100);
    }
    expect(peer.transport.isOpen).toBe(true);
    await pass(200);
    expect(peer.last).toMatchObject({ type: 'closing', code: 4106 });
  });

  it('stays open where anonymous ones are allowed, with their permissions', async () => {
    const namespaces = { open: { joinBy: 'anyone' } } as const;
    const { connect, pass, settle } = start({ anonymous: true, namespaces });
    const peer = connect();
    peer.say({ type: 'ping' });
    await pass(60_000);
    peer.say({ type: 'join', id: 1, room: 'open:a' });
    peer.say({ type: 'join', id: 2, room: 'a' });
    peer.say({ type: 'publish', id: 3, room: 'open:a', data: 1 });
    await settle();
    expect(peer.transport.events[0]).toMatchObject({ auth: 'optional' });
    expect(peer.told).toMatchObject([
      { type: 'joined', id: 1 },
      { type: 'error', id: 2, code: 'not_allowed' },
      { type: 'error', id: 3, code: 'not_allowed' },
    ]);
    peer.auth(ALL, 4);
    peer.say({ type: 'publish', id: 5, room: 'open:a', data: 1 });
    await settle();
    expect(peer.told.slice(3)).toMatchObject([
      { type: 'authenticated', id: 4, user: '42' },
      { type: 'published', id: 5 },
      { type: 'message', user: '42' },
    ]);
  });

  it('gets an error for a wrong, expired or too large token, and a close code that says what to do', async () => {
    const { connect, settle } = start();
    for (const [token, code, close] of [
      ['x', 'token_invalid', 4001],
      [5, 'token_invalid', 4001],
      [tokenOf(ALL, 'x'.repeat(32)), 'token_invalid', 4001],
      ['x'.repeat(9000), 'token_too_big', 4001],
      [tokenOf({ ...ALL, exp: inSeconds(-60) }), 'token_expired', 4105],
    ] as const) {
      const peer = connect();
      peer.say({ type: 'auth', id: 1, token });
      await settle();
      expect(peer.told).toMatchObject([
        { type: 'error', id: 1, code },
        { type: 'closing', code: close },
      ]);
      const [{ message }, { reason }] = peer.told as unknown as [
        { message: string },
        { reason: string },
      ];
      expect(reason).toBe(message);
      expect(JSON.stringify(peer.told)).not.toContain(String(token).slice(0, 30));
    }
    const peer = connect({ authorization: 'Bearer x' });
    await settle();
    expect(peer.told).toMatchObject([{ type: 'error', code: 'token_invalid' }, { code: 4001 }]);
  });

  it('never gets an invalid-token error for a token that cannot be checked', async () => {
    const { connect, core, settle } = start();
    vi.mocked(core.auth.check).mockRejectedValue(new Refusal('keys_unavailable', 'none'));
    const peer = connect();
    peer.auth(ALL);
    await settle();
    expect(peer.told).toMatchObject([
      { type: 'error', id: 1, code: 'keys_unavailable' },
      { type: 'closing', code: 4106 },
    ]);
  });

  it('is closed with 4106 if its check does not end', async () => {
    const { connect, core, pass } = start({ authMs: 2000 });
    vi.mocked(core.auth.check).mockReturnValue(new Promise(() => {}));
    const peer = connect();
    peer.auth(ALL);
    await pass(1900);
    expect(peer.transport.isOpen).toBe(true);
    await pass(200);
    expect(peer.last).toMatchObject({ type: 'closing', code: 4106 });
  });
});

describe('the next token', () => {
  it('replaces the previous one; rooms it does not allow are left', async () => {
    const { connect, settle, core } = start();
    const peer = connect();
    peer.auth(ALL);
    for (const room of ['a', 'b', 'c']) peer.say({ type: 'join', room });
    await settle();
    const before = peer.told.length;
    peer.transport.stall();
    core.hub.publish(null, 'a', '1');
    core.hub.publish(null, 'b', '2');
    core.hub.publish(null, 'b', '3');
    await settle();
    peer.auth({ sub: '42', rooms: { a: ['join'], c: ['join', 'publish'] } }, 7);
    await settle();
    core.hub.publish(null, 'b', '4');
    await settle();
    peer.transport.resume();
    await settle();
    // The kernel already had the first batch.
    expect(peer.told.slice(before)).toMatchObject([
      { type: 'message', room: 'a', data: 1 },
      { type: 'gap', room: 'b', from: 1, to: 2, count: 2, reason: 'left' },
      { type: 'left', room: 'b', reason: 'revoked' },
      { type: 'authenticated', id: 7 },
    ]);
    peer.say({ type: 'publish', id: 8, room: 'a', data: 1 });
    peer.say({ type: 'publish', id: 9, room: 'c', data: 1 });
    await settle();
    expect(peer.told.slice(-3)).toMatchObject([
      { type: 'error', id: 8, code: 'not_allowed' },
      { type: 'published', id: 9 },
      { type: 'message', room: 'c' },
    ]);
  });

  it('that is refused changes nothing: the previous one stays until it expires', async () => {
    const { connect, settle, pass } = start();
    const peer = connect();
    peer.auth({ ...ALL, exp: inSeconds(60) });
    peer.say({ type: 'join', room: 'a' });
    await settle();
    await peer.tell({ type: 'auth', id: 2, token: 'x' });
    await peer.tell({ type: 'auth', id: 3, token: tokenOf({ ...ALL, sub: '43' }) });
    expect(peer.told.slice(1)).toMatchObject([
      { type: 'error', id: 2, code: 'token_invalid' },
      { type: 'error', id: 3, code: 'identity_changed' },
    ]);
    await peer.tell({ type: 'publish', id: 4, room: 'a', data: 1 });
    expect(peer.last).toMatchObject({ type: 'message', user: '42' });
    await pass(71_500);
    expect(peer.last).toMatchObject({ type: 'closing', code: 4105 });
  });

  it('moves the expiry', async () => {
    const { connect, settle, pass } = start({ expiryNoticeMs: 0, clockToleranceMs: 0 });
    const peer = connect();
    peer.auth({ ...ALL, exp: inSeconds(60) });
    await settle();
    for (let n = 0; n < 5; n += 1) {
      await pass(50_000);
      peer.auth({ ...ALL, exp: inSeconds(60) });
      await settle();
    }
    expect(peer.transport.isOpen).toBe(true);
    await pass(61_500);
    expect(peer.last).toMatchObject({ type: 'closing', code: 4105 });
  });

  it('may come five at once, and one a second', async () => {
    const { connect, settle, pass } = start();
    const peer = connect();
    for (let id = 1; id <= 7; id += 1) peer.auth(ALL, id);
    await settle();
    expect(peer.told.slice(5)).toMatchObject([
      { type: 'error', id: 6, code: 'rate_limited' },
      { type: 'error', id: 7, code: 'rate_limited' },
    ]);
    await pass(1100);
    peer.auth(ALL, 8);
    await settle();
    expect(peer.last).toMatchObject({ type: 'authenticated', id: 8 });
  });

  it('waits for the one before it, so that the later one counts', async () => {
    const { connect, settle, hold, release, core } = start();
    const peer = connect();
    hold();
    peer.auth({ sub: '42', rooms: { a: ['join'] } }, 1);
    peer.auth({ sub: '42', rooms: { b: ['join'] } }, 2);
    await settle();
    expect(core.auth.check).toHaveBeenCalledOnce();
    await release();
    peer.say({ type: 'join', id: 3, room: 'a' });
    peer.say({ type: 'join', id: 4, room: 'b' });
    await settle();
    expect(peer.told).toMatchObject([
      { id: 1, type: 'authenticated' },
      { id: 2, type: 'authenticated' },
      { id: 3, code: 'not_allowed' },
      { id: 4, type: 'joined' },
    ]);
  });

  it('that is validated after its connection has closed is ignored', async () => {
    const { connect, settle, hold, release, core } = start();
    const peer = connect();
    hold();
    peer.auth(ALL);
    await settle();
    peer.transport.break();
    await release();
    expect(core.hub.members.size).toBe(0);
    expect(core.auth.alarms?.size).toBe(0);
  });
});

it('a connection that ends at any step of its token check is not indexed and holds nothing', async () => {
  const { connect, settle, hold, release, core } = start();
  for (let steps = 0; steps < 20; steps += 1) {
    const peer = connect();
    hold();
    peer.auth({ ...ALL, jti: 't1' });
    await settle();
    const released = release();
    for (let n = 0; n < steps; n += 1) await Promise.resolve();
    peer.transport.break();
    await released;
    await settle();
    expect([steps, core.people.size, core.auth.alarms?.size]).toEqual([steps, 0, 0]);
  }
  expect(core.people.revoke({ token: 't1' })).toMatchObject({ closed: 0 });
});

it('a token is indexed by its id exactly as long as a connection has it', async () => {
  const { connect, settle, core } = start();
  const [gone, refreshed] = [connect(), connect()];
  gone.auth({ ...ALL, jti: 't1' });
  refreshed.auth({ ...ALL, jti: 't2' });
  await settle();
  refreshed.auth({ ...ALL, jti: 't3' }, 2);
  gone.transport.break();
  await settle();
  const closed = (token: string) => core.people.revoke({ token }).closed;
  expect(['t1', 't2'].map(closed)).toEqual([0, 0]);
  expect(refreshed.transport.isOpen).toBe(true);
  expect(closed('t3')).toBe(1);
  expect(refreshed.last).toMatchObject({ type: 'closing', code: 4005 });
});

describe('the end of a token (V16)', () => {
  it.each([0, 10_000])(
    'closes with 4105, with a tolerance of %d ms, within a second',
    async (ms) => {
      const { connect, settle, pass } = start({ clockToleranceMs: ms });
      const peer = connect();
      const exp = inSeconds(90);
      peer.auth({ ...ALL, exp });
      await settle();
      await pass(exp * 1000 + ms - Date.now() - 10);
      expect(peer.transport.isOpen).toBe(true);
      await pass(1010);
      expect(peer.last).toMatchObject({ type: 'closing', code: 4105 });
    },
  );

  it('is announced once in advance, for clients without a timer', async () => {
    const { connect, settle, pass } = start({ expiryNoticeMs: 20_000 });
    const peer = connect();
    peer.auth({ ...ALL, exp: inSeconds(60) });
    await settle();
    await pass(39_000);
    expect(peer.told).toHaveLength(1);
    await pass(20_000);
    expect(peer.told).toHaveLength(2);
    const { inMs } = peer.told[1] as { inMs: number };
    expect(inMs).toBeGreaterThan(18_500);
    expect(inMs).toBeLessThanOrEqual(20_000);
  });

  it('may be in 2100, beyond the longest timer', async () => {
    const { connect, settle, pass } = start();
    const peer = connect();
    peer.auth({ ...ALL, exp: Date.UTC(2100, 0) / 1000 });
    await settle();
    const { refreshInMs } = peer.last as { refreshInMs: number };
    expect(refreshInMs).toBe(2 ** 31 - 1);
    await pass(5000);
    expect(peer.transport.isOpen).toBe(true);
  });

  it.each([-2, -1, 0, 1, 2].flatMap((ms) => [0, 500].map((tolerance) => [ms, tolerance] as const)))(
    'and a new token %d ms from it (tolerance %d): the connection continues or has ended, nothing between',
    async (ms, clockToleranceMs) => {
      const { connect, settle, pass, core } = start({ clockToleranceMs, expiryNoticeMs: 0 });
      const peer = connect();
      const exp = inSeconds(30);
      peer.auth({ ...ALL, exp });
      peer.say({ type: 'join', room: 'a' });
      await settle();
      const end = exp * 1000 + clockToleranceMs;
      await vi.advanceTimersByTimeAsync(end + ms - Date.now());
      const isOpen = peer.transport.isOpen;
      if (ms < 0) expect(isOpen).toBe(true);
      await peer.tell({ type: 'auth', id: 2, token: tokenOf({ ...ALL, exp: inSeconds(60) }) });
      await pass(end + 1000 - Date.now());
      core.hub.publish(null, 'a', '"late"');
      await settle();
      const told = peer.told.slice(1).map(({ type }) => type);
      expect(told).toEqual(isOpen ? ['authenticated', 'message'] : ['closing']);
    },
  );

  it('is compared with the time at the end of the check, not at its start', async () => {
    const { connect, settle, pass, hold, release } = start({ clockToleranceMs: 0 });
    const peer = connect();
    hold();
    peer.auth({ ...ALL, exp: inSeconds(3) });
    await settle();
    await pass(4000);
    await release();
    expect(peer.told).toMatchObject([
      { type: 'error', code: 'token_expired' },
      { type: 'closing', code: 4105 },
    ]);
  });

  it('happens although the clock jumps', async () => {
    const { connect, settle, pass } = start();
    const peer = connect();
    peer.auth(ALL);
    await settle();
    vi.setSystemTime(Date.now() + 86_400_000);
    await pass(600);
    expect(peer.last).toMatchObject({ type: 'closing', code: 4105 });
  });

  it('leaves no timer and no alarm of a connection that closed earlier', async () => {
    const { connect, settle, core } = start();
    const timers = vi.getTimerCount();
    const [one, two] = [connect(), connect()];
    one.auth(ALL);
    await settle();
    expect(core.auth.alarms?.size).toBe(2);
    one.transport.break();
    two.transport.break();
    await settle();
    expect(core.auth.alarms?.size).toBe(0);
    expect(vi.getTimerCount()).toBe(timers);
  });
});

it('a token is in no log line', async () => {
  const lines: unknown[] = [];
  const log = (fields: object, text: string) => void lines.push([fields, text]);
  const { connect, settle } = start({}, { info: log, warn: log, error: log });
  const token = tokenOf({ sub: '42' }, 'x'.repeat(32));
  connect({ authorization: `Bearer ${token}` });
  await settle();
  expect(lines).toHaveLength(1);
  expect(JSON.stringify(lines)).toContain('unauthorised');
  for (const each of token.split('.')) expect(JSON.stringify(lines)).not.toContain(each);
});
