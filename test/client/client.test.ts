/** How the client connects, against a scripted server in virtual time. */
import { describe, expect, it } from 'vitest';
import { connect, RoomcastError } from '../../client/src/index.js';
import { rig } from './rig.js';

describe('connecting', () => {
  it('is online after the first frame, and sends a frame at once', async () => {
    const { client, server, states, pass } = rig();
    expect(client.state).toBe('connecting');
    await pass(10);
    expect(states).toEqual(['online']);
    expect(client.member).toBe('m1');
    expect(client.features).toEqual(['since', 'uid', 'history', 'auth']);
    expect(server.socket.sent).toEqual([{ id: 1, type: 'ping' }]);
  });

  it('waits for open() if it is lazy', async () => {
    const { client, server, pass } = rig({}, { lazy: true });
    await pass(1000);
    expect([client.state, server.sockets.length]).toEqual(['idle', 0]);
    client.open();
    client.open();
    await pass(10);
    expect([client.state, server.sockets.length]).toEqual(['online', 1]);
  });

  it('gives a silent server ten seconds', async () => {
    const { client, server, states, pass } = rig();
    server.socket ?? (await pass(0));
    server.socket.isDead = true;
    await pass(9_999);
    expect(client.state).toBe('connecting');
    await pass(2);
    expect(states).toEqual(['waiting connect_timeout']);
    expect(server.socket.closedWith).toBe(1000);
  });

  it.each(['<html>', '[1]', 'null', '{"type":"joined","seq":1}', '{"type":"welcome"}x'])(
    'retries after an invalid first frame (%s), and emits an error at the fifth attempt',
    async (text) => {
      const { server, states, errors, pass } = rig();
      server.greeting = text;
      await pass(60_000);
      expect(server.sockets.length).toBeGreaterThan(5);
      expect(states).toContain('waiting bad_frame');
      expect(states.at(-1)).not.toMatch(/closed/);
      expect(errors).toEqual(['unreachable']);
    },
  );

  it.each([
    { type: 'message', seq: 1.5 },
    { type: 'message', seq: 2 ** 53 },
    { type: 'message', seq: null },
    { type: 'message' },
    { type: 'reset', seq: 'x', epoch: 'e2' },
    { type: 'gap', from: 1 },
    { type: 'gap', from: 1, to: 'x' },
    { seq: 1 },
  ])('treats %j as an invalid frame', async (frame) => {
    const { server, client, states, pass } = rig();
    void client.room('a').join();
    await pass(10);
    server.socket.say({ room: 'a', ...frame });
    await pass(10);
    expect(states).toEqual(['online', 'waiting bad_frame']);
    await pass(1000);
    expect(client.room('a').state).toBe('joined');
  });

  it('closes if the protocol version differs or the URL is invalid', async () => {
    const { states, pass } = rig({ version: 2 });
    await pass(10);
    expect(states).toEqual(['closed protocol_version']);
    const bad = connect('no url', { lifecycle: false });
    const seen: unknown[] = [];
    bad.on('state', ({ state, reason }) => seen.push([state, reason?.code]));
    const joined = bad.room('a').join();
    await pass(10);
    expect(seen).toEqual([['closed', 'bad_url']]);
    await expect(joined).rejects.toMatchObject({ code: 'bad_url', retryable: false });
    await expect(bad.room('a').join()).rejects.toBeInstanceOf(RoomcastError);
    await expect(bad.room('a').publish(1)).rejects.toMatchObject({ code: 'bad_url' });
  });

  it('ignores unknown frames of a newer server, and emits errors that belong to no command', async () => {
    const { server, client, errors, pass } = rig();
    await pass(10);
    const told: unknown[] = [];
    client.on('health', (event) => told.push(event));
    client.on('broker', (event) => told.push(event));
    server.socket.say({ type: 'hologram', room: 'a', seq: 'x' });
    server.socket.say({ type: 'hologram', id: 99 });
    server.socket.say({ type: 'error', code: 'bad_json', message: '' });
    const queued = { messages: 1, bytes: 2 };
    server.socket.say({ type: 'health', state: 'lagging', queued });
    server.socket.say({ type: 'broker', state: 'suspended' });
    await pass(10);
    expect(client.state).toBe('online');
    expect(errors).toEqual(['bad_json']);
    expect(told).toEqual([
      { type: 'health', state: 'lagging', queued },
      { type: 'broker', state: 'suspended' },
    ]);
  });
});

describe('ping()', () => {
  it('measures the round trip, and rejects without a connection', async () => {
    const { server, client, pass } = rig({ latencyMs: 20 });
    await expect(client.ping()).rejects.toMatchObject({ code: 'not_online', retryable: true });
    await pass(100);
    const ping = client.ping();
    await pass(50);
    expect(await ping).toBe(40);
    const lost = client.ping();
    server.socket.drop();
    const refused = expect(lost).rejects.toMatchObject({ code: 'connection_lost' });
    await pass(50);
    await refused;
  });

  it('is aborted by its signal', async () => {
    const { client, pass } = rig();
    await pass(100);
    const controller = new AbortController();
    const ping = client.ping({ signal: controller.signal });
    controller.abort();
    await expect(ping).rejects.toMatchObject({ code: 'aborted' });
    await expect(client.ping({ signal: controller.signal })).rejects.toMatchObject({
      code: 'aborted',
    });
  });
});
