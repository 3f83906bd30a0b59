/** Presence: by user, not by connection, announced by revision, and never queued (V19). */
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import type { Auth } from '../../src/auth/auth.js';
import type { Config } from '../../src/options/config.js';
import { intervalFor } from '../../src/room/presence.js';
import { Roster } from '../../src/room/roster.js';
import { type FakeName, FakeTransport } from '../support/fake-transport.js';
import { bytesInUse } from '../support/heap.js';
import { PresenceView } from '../support/presence.js';
import { openCore, startCore, type Virtual } from '../support/virtual.js';

/** Takes the user and its info from the request headers. */
const auth: Auth = {
  connect({ headers: { user = '', info = '' } }, token) {
    const [name = '', shown = info] = token?.split('=') ?? [String(user)];
    if (name === '') return null;
    return { user: name, info: shown === '' ? undefined : shown, may: () => true };
  },
};

const CONFIG: Partial<Config> = {
  anonymous: true,
  joinBy: 'anyone',
  presence: 'users',
  presenceIntervalMs: 100,
  presenceLingerMs: 2000,
  maxInfoBytes: 8192,
  firstFrameMs: 0,
  heartbeatMs: 1_000_000,
};

function rig({ core, settle }: Pick<Virtual, 'core' | 'settle'>) {
  /** A connection of a user, or an anonymous one. */
  const connect = async (user: string | null, name: FakeName = 'websocket', info = '') => {
    const view = new PresenceView();
    const transport = new FakeTransport({ name, onEvent: (event) => view.hear(event) });
    const handshake = { headers: { user: user ?? '', info }, url: '/ws', address: '192.0.2.1' };
    transport.sink = core.sessions.accept(transport, handshake as never);
    await settle();
    const say = (command: object) => transport.say(JSON.stringify(command));
    return {
      user,
      transport,
      view,
      say,
      join: (room = 'a', presence = false) => say({ type: 'join', id: 1, room, presence }),
      get last() {
        return transport.events.at(-1);
      },
    };
  };
  return { connect };
}

function start(config: Partial<Config> = {}) {
  const world = startCore({ auth, config: { ...CONFIG, ...config } });
  return { ...world, ...rig(world) };
}

const names = ({ users }: PresenceView) => [...users.keys()];

describe('a user', () => {
  it('with three tabs, a reload and a lost network joins once and does not leave (V19)', async () => {
    const { connect, pass, core } = start();
    const watcher = await connect('w');
    watcher.join('a', true);
    await pass(200);
    expect(names(watcher.view)).toEqual(['w']);
    const tabs = [await connect('u'), await connect('u', 'sockjs-websocket'), await connect('u')];
    for (const tab of tabs) {
      tab.join();
      await pass(200);
    }
    expect(watcher.view.counts).toEqual({ users: 2, connections: 4, anonymous: 0 });
    // Two tabs close, the last one reloads, then the network is lost for a second.
    tabs[0]!.transport.sink!.left();
    tabs[1]!.transport.break();
    await pass(3000);
    tabs[2]!.transport.break();
    await pass(500);
    expect(watcher.view.counts).toEqual({ users: 2, connections: 1, anonymous: 0 });
    const reloaded = await connect('u');
    reloaded.join();
    await pass(5000);
    reloaded.transport.break();
    await pass(1000);
    const back = await connect('u', 'xhr-polling');
    back.join();
    await pass(5000);
    expect(watcher.view.events).toEqual(['+u']);
    expect([...core.observer.presenceChangedBy]).toEqual([2, 0, 2]);
    // When the user has gone for good, one event follows within linger and a sweep.
    back.transport.break();
    await pass(3200);
    expect(watcher.view.events).toEqual(['+u', '-u']);
    expect(watcher.view.counts).toEqual({ users: 1, connections: 1, anonymous: 0 });
  });

  it('leaves at once by command or removal, unless other connections of theirs remain', async () => {
    const { connect, pass, core } = start();
    const watcher = await connect('w');
    watcher.join('a', true);
    const [one, other, kicked, revoked] = await Promise.all(
      ['u', 'u', 'k', 'r'].map((user) => connect(user)),
    );
    for (const each of [one, other, kicked, revoked]) each!.join();
    await pass(200);
    one!.say({ type: 'leave', room: 'a' });
    await pass(200);
    expect(watcher.view.events.sort()).toEqual(['+k', '+r', '+u']);
    other!.say({ type: 'leave', room: 'a' });
    core.people.close('k', 'forbidden');
    core.people.revoke({ user: 'r', room: 'a' });
    await pass(200);
    expect(watcher.view.events.slice(3).sort()).toEqual(['-k', '-r', '-u']);
  });

  it('counts as anonymous before authentication, and as one user afterwards', async () => {
    const { connect, pass } = start();
    const watcher = await connect('w');
    watcher.join('a', true);
    const late = await connect(null);
    late.join();
    await pass(200);
    expect(watcher.view.counts).toEqual({ users: 1, connections: 1, anonymous: 1 });
    late.say({ type: 'auth', id: 2, token: 'u=busy' });
    await pass(200);
    expect(watcher.view.counts).toEqual({ users: 2, connections: 2, anonymous: 0 });
    expect(watcher.view.users.get('u')).toMatchObject({ info: 'busy' });
    late.say({ type: 'auth', id: 3, token: 'u=free' });
    late.say({ type: 'auth', id: 4, token: 'u=free' });
    await pass(200);
    expect(watcher.view.users.get('u')).toMatchObject({ info: 'free' });
    expect(watcher.view.events).toEqual(['+u']);
  });

  it('lingers in a room that has become empty', async () => {
    const { connect, pass, core } = start();
    const first = await connect('u');
    first.join();
    await pass(100);
    const since = core.hub.presence.of('a')?.of('u')?.since;
    first.transport.break();
    await pass(500);
    expect(core.hub.rooms.size).toBe(0);
    const again = await connect('u');
    again.join('a', true);
    await pass(300);
    expect(again.view.users.get('u')?.since).toBe(since);
    again.transport.break();
    await pass(5000);
    expect(core.hub.presence.of('a')).toBe(undefined);
    expect(core.hub.presence.lingering).toBe(0);
  });
});

describe('watching', () => {
  it('is opt-in, starts after the reply, and works on every transport', async () => {
    const { connect, pass } = start();
    const silent = await connect('s');
    silent.join();
    for (const name of ['websocket', 'sockjs-websocket', 'xhr-polling'] as const) {
      const peer = await connect(name, name);
      peer.join('a', true);
      for (let n = 0; n < 30; n += 1) {
        peer.transport.poll();
        await pass(10);
      }
      const kinds = peer.transport.events.map(({ type }) => type);
      expect(kinds.indexOf('joined')).toBeLessThan(kinds.indexOf('presence'));
      expect(names(peer.view)).toContain(name);
      expect(names(peer.view)).toContain('s');
    }
    expect(silent.view.frames).toBe(0);
  });

  it('is refused if presence is off or not permitted, and listed in the welcome', async () => {
    const quiet: Auth = {
      connect: () => ({ user: 'u', may: (action) => action !== 'presence' }),
    };
    const world = startCore({
      auth: quiet,
      config: { ...CONFIG, presenceBy: 'grant', namespaces: { off: { presence: 'off' } } },
    });
    const peer = await rig(world).connect('u');
    for (const room of ['off:a', 'a']) peer.say({ type: 'join', id: room, room, presence: true });
    peer.say({ type: 'join', id: 3, room: 'a', presence: 1 });
    peer.join('off:a');
    peer.join('a');
    await world.settle();
    expect(peer.transport.events).toMatchObject([
      { type: 'welcome', features: expect.arrayContaining(['presence']) },
      { id: 'off:a', code: 'not_enabled' },
      { id: 'a', code: 'not_allowed' },
      { id: 3, code: 'bad_command' },
      { type: 'joined' },
      { type: 'joined' },
    ]);
    expect(world.core.hub.presence.of('off:a')).toBe(undefined);
  });

  it('ends in the same turn as the presence right, which is announced once', async () => {
    let may = true;
    const fickle: Auth = {
      connect: ({ headers: { user } }) => ({
        user: String(user),
        may: (action) => action !== 'presence' || may,
      }),
    };
    const world = startCore({ auth: fickle, config: { ...CONFIG, presenceBy: 'grant' } });
    const { connect } = rig(world);
    const watcher = await connect('w');
    watcher.join('a', true);
    await world.pass(200);
    watcher.transport.stall();
    const [one, two] = [await connect('1'), await connect('2')];
    // One frame is written but not taken, and another waits for its turn.
    one.join();
    await world.pass(200);
    two.join();
    await world.pass(200);
    may = false;
    watcher.say({ type: 'auth', id: 2, token: 'x' });
    await world.settle();
    watcher.transport.resume();
    (await connect('3')).join();
    await world.pass(500);
    // What the kernel already had cannot be recalled; the view throws at anything after the last.
    expect(watcher.view.events).toEqual(['+1']);
    expect(watcher.view).toMatchObject({ mode: 'off', frames: 3 });
    expect(watcher.transport.events.slice(-2)).toEqual([
      { type: 'presence', room: 'a', mode: 'off' },
      { type: 'authenticated', id: 2, user: 'w' },
    ]);
    expect(world.core.hub.presence.of('a')?.watches.size).toBe(0);
    // A member that does not watch gets nothing, and regaining the right does not restart the watch.
    may = true;
    for (const id of [3, 4]) {
      watcher.say({ type: 'auth', id, token: 'x' });
      await world.pass(500);
      may = false;
    }
    expect(watcher.view.frames).toBe(3);
  });

  it('ends without an event if the member also loses the room', async () => {
    const world = startCore({
      auth: { connect: ({ headers: { user } }) => ({ user: String(user), may: () => true }) },
      config: CONFIG,
    });
    const { connect } = rig(world);
    const watcher = await connect('w');
    watcher.join('a', true);
    await world.pass(200);
    world.core.people.revoke({ user: 'w', room: 'a' });
    await world.pass(200);
    expect(watcher.transport.events.slice(-1)).toEqual([
      { type: 'left', room: 'a', reason: 'revoked' },
    ]);
    expect(watcher.view.mode).toBe('users');
  });

  it('uses a longer interval with thousands of watchers, up to 30 s, never less than configured', () => {
    const of = (ms: number) => [1, 1000, 3000, 100_000].map((many) => intervalFor(many, ms));
    expect(of(1000)).toEqual([1000, 1000, 3000, 30_000]);
    expect(of(60_000)).toEqual([60_000, 60_000, 60_000, 60_000]);
  });

  it('sends one frame an interval, shared by all watchers (V6)', async () => {
    const { connect, pass, core } = start({ presenceIntervalMs: 1000 });
    const watchers = [];
    for (let n = 0; n < 20; n += 1) watchers.push(await connect(`w${n}`));
    for (const each of watchers) each.join('a', true);
    await pass(2500);
    const frames = watchers.map(({ view }) => view.frames);
    const { format } = core.hub.members.values().next().value!.outbox;
    let encoded = 0;
    const encode = format.encode.bind(format);
    format.encode = (event) => {
      if (event.type === 'presence_diff') encoded += 1;
      return encode(event);
    };
    for (let n = 0; n < 50; n += 1) {
      const peer = await connect(`u${n}`);
      peer.join();
      await pass(60);
    }
    await pass(1100);
    for (const [n, { view }] of watchers.entries()) {
      expect(view.frames - frames[n]!).toBeGreaterThanOrEqual(4);
      expect(view.frames - frames[n]!).toBeLessThanOrEqual(5);
      expect(view.users.size).toBe(70);
    }
    expect(encoded).toBeLessThanOrEqual(5);
  });

  it('sends only counts above the bound, and users again well below it', async () => {
    const { connect, pass } = start({ presenceMaxUsers: 10, presenceLingerMs: 0 });
    const watcher = await connect('w');
    watcher.join('a', true);
    const peers = [];
    for (let n = 0; n < 12; n += 1) {
      const peer = await connect(`u${n}`);
      peer.join();
      peers.push(peer);
      await pass(150);
      expect(watcher.view.mode).toBe(n < 9 ? 'users' : 'count');
      expect(watcher.view.counts.users).toBe(n + 2);
    }
    for (let n = 11; n > 5; n -= 1) {
      peers.pop()!.transport.break();
      await pass(150);
      expect(watcher.view.mode).toBe(n + 1 > 8 ? 'count' : 'users');
    }
    expect(names(watcher.view).sort()).toEqual(['u0', 'u1', 'u2', 'u3', 'u4', 'u5', 'w']);
  });

  it('sends only counts where the namespace says so', async () => {
    const { connect, pass, core } = start({ namespaces: { n: { presence: 'count' } } });
    const watcher = await connect(null);
    watcher.join('n:a', true);
    const peer = await connect('u');
    peer.join('n:a');
    await pass(300);
    expect(watcher.view).toMatchObject({ mode: 'count', counts: { users: 1, anonymous: 1 } });
    expect(JSON.stringify(watcher.transport.events)).not.toContain('"u"');
    expect(core.hub.presence.of('n:a')?.mode).toBe('count');
    // Counts from before the next watcher are not sent again and again.
    watcher.say({ type: 'leave', room: 'n:a' });
    const later = await connect('v');
    later.join('n:a', true);
    await pass(300);
    expect(later.view).toMatchObject({ frames: 1, counts: { users: 2, anonymous: 0 } });
  });
});

it('sends changes made during a round in the next one (V19)', async () => {
  const { connect, pass, loop } = start({ presenceIntervalMs: 0 });
  const watchers = [];
  for (let n = 0; n < 6; n += 1) watchers.push(await connect(`w${n}`));
  for (const each of watchers) each.join('a', true);
  await pass(100);
  for (const { transport } of watchers) {
    const write = transport.write.bind(transport);
    // Each takes a whole turn of the loop.
    transport.write = (batch) => {
      loop.spend(6);
      return write(batch);
    };
  }
  const [one, two] = [await connect('1'), await connect('2')];
  one.join();
  loop.turn();
  loop.turn();
  two.join();
  await pass(100);
  for (const { view } of watchers) expect(names(view)).toEqual(expect.arrayContaining(['1', '2']));
});

it('a watcher that reads nothing costs one batch, whatever changes, and loses nothing', async () => {
  const { connect, pass, core, settle, loop } = start({
    presenceLingerMs: 0,
    presenceIntervalMs: 0,
  });
  /** It lets turns of the loop pass, which is ours. */
  const bytes = async () => {
    // Which keep what they were called with.
    vi.clearAllMocks();
    const counted = bytesInUse();
    for (let n = 0; n < 10; n += 1) {
      await Promise.resolve();
      loop.run();
    }
    return counted;
  };
  const watcher = await connect('w');
  watcher.join('a', true);
  await pass(100);
  watcher.transport.stall();
  const peer = await connect('u', 'websocket', 'i'.repeat(900));
  const churn = async (times: number) => {
    for (let n = 0; n < times; n += 1) {
      peer.join();
      peer.say({ type: 'leave', room: 'a' });
      if (n % 50 === 0) await settle();
      if (n % 50 === 0) peer.transport.events.length = 0;
    }
  };
  await churn(3000);
  const before = await bytes();
  await churn(20_000);
  expect((await bytes()) - before).toBeLessThan(2_000_000);
  expect(core.hub.members.get([...core.hub.members.keys()][0]!)!.queuedBytes).toBeLessThan(17_000);
  peer.join();
  watcher.transport.resume();
  await pass(200);
  expect(names(watcher.view).sort()).toEqual(['u', 'w']);
});

it('notes the changes of a round until all watchers have them (V3)', async () => {
  const ended = vi.spyOn(Roster.prototype, 'endRound');
  const { connect, pass } = start({ presenceLingerMs: 0 });
  const [reads, stalls] = [await connect('r'), await connect('s')];
  for (const each of [reads, stalls]) each.join('a', true);
  await pass(500);
  expect(ended).toHaveBeenCalled();
  stalls.transport.stall();
  ended.mockClear();
  for (const user of ['1', '2', '3']) {
    (await connect(user)).join();
    await pass(500);
  }
  expect(names(reads.view).sort()).toEqual(['1', '2', '3', 'r', 's']);
  // The first went to where it does not read from.
  expect(ended.mock.calls.length).toBeLessThanOrEqual(1);
  stalls.transport.resume();
  (await connect('4')).join();
  await pass(500);
  expect(names(stalls.view).sort()).toEqual(['1', '2', '3', '4', 'r', 's']);
  expect(ended).toHaveBeenCalled();
});

/** What may happen, in numbers that are easy to make smaller. */
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('enter' as const), user: fc.nat(9) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('watch' as const), user: fc.nat(9) }) },
  ...(['leave', 'break', 'kick', 'stall', 'resume', 'complete', 'inform', 'poll'] as const).map(
    (name) => ({
      weight: 2,
      arbitrary: fc.record({ do: fc.constant(name), user: fc.nat(30) }),
    }),
  ),
  { weight: 3, arbitrary: fc.record({ do: fc.constant('pass' as const), user: fc.nat(400) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('churn' as const), user: fc.nat(1100) }) },
);

it('when changes cease, every watcher has the roster, however fast it reads (V19)', async () => {
  const seen = { users: 0, count: 0, diffs: 0 };
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 10, maxLength: 60, size: 'max' }),
      fc.constantFrom(0, 100, 1000),
      fc.constantFrom(0, 300, 3000),
      fc.constantFrom(3, 6, 1000),
      async (steps, presenceIntervalMs, presenceLingerMs, presenceMaxUsers) => {
        const config = { ...CONFIG, presenceIntervalMs, presenceLingerMs, presenceMaxUsers };
        const world = openCore({ auth, config });
        const { core, pass, settle } = world;
        const { connect } = rig(world);
        const peers: Awaited<ReturnType<typeof connect>>[] = [];
        const kinds = ['websocket', 'xhr-polling', 'sockjs-websocket'] as const;
        const churner = await connect('c', 'websocket', 'i'.repeat(500));
        try {
          for (const { do: what, user } of steps) {
            const peer = peers[user % Math.max(1, peers.length)];
            if (what === 'enter' || what === 'watch') {
              const name = kinds[user % 3]!;
              const one = await connect(
                user === 0 ? null : `u${user}`,
                name,
                'i'.repeat(user * 700),
              );
              one.join('a', what === 'watch');
              peers.push(one);
            } else if (what === 'pass') await pass(user);
            else if (what === 'churn') {
              for (let n = 0; n < user; n += 1) {
                churner.join();
                churner.say({ type: 'leave', room: 'a' });
                if (n % 20 === 0) await settle();
              }
            } else if (peer !== undefined) {
              if (what === 'leave') peer.say({ type: 'leave', room: 'a' });
              if (what === 'break') peer.transport.break();
              if (what === 'kick') core.people.close(`u${user % 10}`, 'forbidden');
              if (what === 'stall') peer.transport.stall();
              if (what === 'resume') peer.transport.resume();
              if (what === 'complete') peer.transport.complete();
              if (what === 'poll') peer.transport.poll();
              if (what === 'inform' && peer.user !== null) {
                peer.say({ type: 'auth', token: `${peer.user}=${user}` });
              }
            }
            await settle();
            if (core.failures.length > 0) throw core.failures[0];
          }
          const open = peers.filter(({ transport }) => transport.isOpen);
          for (const { transport } of open) transport.resume();
          for (let n = 0; n < 10; n += 1) {
            for (const { transport } of open) transport.poll();
            await pass(500);
          }
          for (let n = 0; n < 30; n += 1) {
            for (const { transport } of open) transport.poll();
            await pass(10);
          }
          // The test's own model: users with a connection in the room.
          const there = open.filter(({ transport }) =>
            [...core.hub.members.values()].some(
              (member) => member.transport === transport && member.subscriptions.has('a'),
            ),
          );
          const users = new Set(there.flatMap(({ user }) => user ?? []));
          const anonymous = there.filter(({ user }) => user === null).length;
          const counts = { users: users.size, connections: there.length - anonymous, anonymous };
          const roster = core.hub.presence.of('a');
          if (there.length === 0) expect(roster).toBe(undefined);
          for (const { view, transport } of there) {
            // A member that has left and rejoined without watching gets nothing more.
            const watches = [...(roster?.watches ?? [])];
            if (!watches.some(({ subscription }) => subscription.outbox.transport === transport)) {
              continue;
            }
            expect(view.mode).toBe(roster?.mode);
            expect(view.counts).toEqual(counts);
            if (view.mode === 'users') {
              expect(names(view).sort()).toEqual([...users].sort());
              for (const [name, present] of view.users) {
                expect(present.info).toEqual(roster?.of(name)?.info?.value);
              }
            }
            seen[view.mode as 'users' | 'count'] += 1;
            const told = transport.events.filter(({ type }) => type.startsWith('presence'));
            seen.diffs += told.filter(({ type }) => type === 'presence_diff').length;
          }
          expect(core.hub.presence.lingering).toBe(0);
        } finally {
          await world.close();
        }
      },
    ),
    { numRuns: Number(process.env['ROOMCAST_TEST_RUNS'] ?? 40), endOnFailure: true },
  );
  // The run was not vacuous.
  for (const [what, count] of Object.entries(seen)) expect(count, what).toBeGreaterThan(5);
}, 120_000);
