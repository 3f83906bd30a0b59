/** From each state and after each event, the client comes online again or is closed permanently. */
import { describe, expect, it, vi } from 'vitest';
import type { Client, LifecycleEvent, Options } from '../../client/src/index.js';
import { record, rig } from './rig.js';
import type { ScriptedServer } from './scripted-server.js';

function pageRig(options: Options = {}) {
  let happen = (_: LifecycleEvent): void => {};
  const unwatched = vi.fn();
  const lifecycle = {
    watch(on: typeof happen) {
      happen = on;
      return unwatched;
    },
  };
  const all = rig({ keeps: 10 }, { lifecycle, ...options });
  return { ...all, unwatched, happen: (event: LifecycleEvent) => happen(event) };
}
type Rig = ReturnType<typeof pageRig>;

const STATES: Record<Client['state'], (rig: Rig) => Promise<void>> = {
  idle: async () => {},
  connecting: async ({ client, pass }) => {
    client.open();
    await pass(0);
  },
  online: async ({ client, pass }) => {
    client.open();
    await pass(100);
  },
  waiting: async ({ client, server, pass }) => {
    client.open();
    await pass(100);
    server.socket.drop();
    await pass(5);
  },
  suspended: async ({ client, happen, pass }) => {
    client.open();
    await pass(100);
    happen('freeze');
  },
  closed: async ({ client }) => client.close(),
};
const drop = (code: number) => (server: ScriptedServer) => server.socket?.drop(code);
const EVENTS: Record<string, (rig: Rig) => unknown> = {
  open: ({ client }) => client.open(),
  close: ({ client }) => client.close(),
  join: ({ client }) => client.room('b').join(),
  publish: ({ client }) =>
    client
      .room('a')
      .publish(1)
      .catch(() => {}),
  lost: ({ server }) => drop(1006)(server),
  evicted: ({ server }) => server.socket?.evict(4101),
  'told to come later': ({ server }) => server.socket?.evict(4100, 5000),
  forbidden: ({ server }) => server.socket?.evict(4003),
  'a black hole': ({ server }) => {
    if (server.socket) server.socket.isDead = true;
  },
  nonsense: ({ server }) => server.socket?.raw('nonsense'),
};
for (const event of ['online', 'offline', 'visible', 'hidden', 'freeze', 'resume'] as const) {
  EVENTS[event] = ({ happen }) => happen(event);
}

describe.each(Object.keys(STATES) as Client['state'][])('from %s', (state) => {
  it.each(Object.keys(EVENTS))('after "%s"', async (event) => {
    const all = pageRig({ lazy: true });
    const { client, pass, happen } = all;
    await STATES[state](all);
    expect(client.state).toBe(state);
    // Some events take effect only as time passes.
    EVENTS[event]!(all);
    await pass(60_000);
    // Like a user who looks at the page.
    if (client.state === 'idle') client.open();
    happen('resume');
    happen('visible');
    await pass(60_000);
    const isFinal =
      state === 'closed' ||
      event === 'close' ||
      (event === 'forbidden' && state === 'online') ||
      // Sent by the server's first connection before it was lost.
      (event === 'forbidden' && state === 'connecting');
    expect(client.state).toBe(isFinal ? 'closed' : 'online');
  });
});

describe('the page', () => {
  it('that is frozen causes an exact gap or none, and its listeners are removed', async () => {
    const all = pageRig();
    const room = all.client.room('a');
    const told = record(room);
    room.join();
    await all.pass(10);
    all.happen('freeze');
    expect(all.client.state).toBe('suspended');
    expect(all.server.socket.closedWith).toBe(1000);
    all.server.publish('a', 'meanwhile');
    await all.pass(3_600_000);
    all.happen('resume');
    await all.pass(10);
    expect(told).toEqual(['joined', 'complete 1 1', 'meanwhile']);
    await all.client.close();
    expect(all.unwatched).toHaveBeenCalledTimes(1);
  });

  it('that becomes visible retries at once, but not twice in a second', async () => {
    const all = pageRig();
    all.server.isUp = false;
    await all.pass(20_000);
    const before = all.server.opened.length;
    for (let i = 0; i < 20; i += 1) {
      all.happen(i % 2 ? 'online' : 'visible');
      await all.pass(100);
    }
    expect(all.server.opened.length - before).toBeLessThanOrEqual(3);
    expect(all.server.opened.length - before).toBeGreaterThan(0);
  });

  it('that is hidden and shown repeatedly does not delay the end of a dead connection', async () => {
    const all = pageRig();
    await all.pass(10);
    all.server.socket.isDead = true;
    for (let i = 0; i < 4; i += 1) {
      all.happen(i % 2 ? 'online' : 'offline');
      await all.pass(1000);
    }
    expect(all.states).toContain('waiting pong_timeout');
  });

  it('that becomes visible soon after an attempt retries once a second has passed', async () => {
    const all = pageRig({ backoff: { baseMs: 1e6, capMs: 1e6 } });
    all.server.isUp = false;
    await all.pass(300);
    all.happen('online');
    await all.pass(690);
    expect(all.server.opened).toHaveLength(1);
    await all.pass(20);
    expect(all.server.opened).toHaveLength(2);
  });

  it('that becomes visible does not retry before retryAfterMs', async () => {
    const all = pageRig();
    await all.pass(10);
    all.server.socket.evict(4100, 30_000);
    await all.pass(2000);
    all.happen('online');
    await all.pass(20_000);
    expect(all.server.opened).toHaveLength(1);
    await all.pass(10_000);
    expect(all.client.state).toBe('online');
  });

  it('that was hidden when an attempt began starts a new one when it becomes visible', async () => {
    const all = pageRig({ lazy: true });
    all.happen('hidden');
    all.client.open();
    await all.pass(0);
    all.server.socket.isDead = true;
    await all.pass(3000);
    expect(all.server.opened).toHaveLength(1);
    all.happen('visible');
    await all.pass(10);
    expect([all.client.state, all.server.opened.length]).toEqual(['online', 2]);
  });

  it('that returns from the cache reconnects once, whatever events it receives', async () => {
    const all = pageRig();
    await all.pass(10);
    // In the order of Chromium.
    for (const event of ['freeze', 'hidden', 'freeze'] as const) all.happen(event);
    await all.pass(5000);
    for (const event of ['resume', 'visible', 'resume'] as const) all.happen(event);
    await all.pass(10);
    expect(all.states).toEqual(['online', 'suspended', 'connecting', 'online']);
    expect(all.server.opened).toHaveLength(2);
  });

  it.each(['offline', 'online', 'visible', 'resume'] as const)(
    'that receives "%s" probes: a dead connection is detected within three seconds',
    async (event) => {
      const all = pageRig();
      await all.pass(10);
      all.happen(event);
      await all.pass(5000);
      expect(all.states).toEqual(['online']);
      all.server.socket.isDead = true;
      all.happen(event);
      await all.pass(3001);
      expect(all.states).toContain('waiting pong_timeout');
    },
  );
});

it('works without EventTarget, Event, MessageEvent and document', async () => {
  const names = ['EventTarget', 'Event', 'MessageEvent', 'document', 'CustomEvent'] as const;
  // Node creates some of them lazily from others, so read all before deleting any.
  for (const name of names) {
    void (globalThis as Record<string, unknown>)[name];
  }
  for (const name of names) {
    vi.stubGlobal(name, undefined);
  }
  const { server, client, pass } = rig({}, { lifecycle: undefined as never });
  const room = client.room('a');
  const told = record(room);
  room.join();
  await pass(10);
  server.publish('a', 1);
  await pass(10);
  server.socket.drop();
  await pass(3000);
  expect(told).toEqual(['joined', '1', 'complete 0 0']);
  vi.unstubAllGlobals();
});
