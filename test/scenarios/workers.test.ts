/**
 * Several workers on one port, with real members: a room is one, whichever worker its members use;
 * killing a worker costs only reported losses; and the totals are right throughout (V10, V20, V21).
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { Agent, type IncomingMessage, request } from 'node:http';
import { type AddressInfo, connect, createServer } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import type { Hello, Second } from '../../src/page/frame.js';
import { TRANSPORTS } from '../../src/transport/transport.js';
import { certificate } from '../support/certificate.js';
import type { Received } from '../support/fake-transport.js';
import { freePort } from '../support/free-port.js';
import { run } from '../support/process.js';
import { connectReading, type ReadingPeer } from '../support/reading-peer.js';
import { WorkersServer } from '../support/workers.js';

const STANDS = 'a worker does not respond; it is killed';
const QUICK = ['--drain-ms', '0', '--lame-duck-ms', '0'];

async function join(name: (typeof TRANSPORTS)[number], url: string, room: string) {
  const peer = await connectReading(name, url);
  peer.say({ type: 'join', id: 1, room });
  await peer.until(() => peer.events.some(({ type }) => type === 'joined'));
  return peer;
}

/**
 * The first second of the live page with this many members: on a busy machine not all workers answer in
 * time.
 */
async function secondWith(url: string, members: number): Promise<Second> {
  const aborted = new AbortController();
  const { body } = await fetch(`${url}/v1/live`, { signal: aborted.signal });
  let text = '';
  const told = (name: string) =>
    Array.from(text.matchAll(new RegExp(`event: ${name}\\ndata: (.*)\\n\\n`, 'g')), ([, json]) =>
      JSON.parse(json as string),
    );
  let found: Second | undefined;
  for await (const chunk of body as ReadableStream<Uint8Array>) {
    text += Buffer.from(chunk).toString();
    const [hello] = told('hello') as Hello[];
    const index = hello?.series.indexOf('members') ?? -1;
    found = (told('second') as Second[]).find(({ values }) => values[index] === members);
    if (found !== undefined) break;
  }
  aborted.abort();
  return found as Second;
}

const data = ({ events }: ReadingPeer) =>
  events.flatMap((event) => (event.type === 'message' ? [event.data] : []));

const ofType = <Type extends Received['type']>({ events }: ReadingPeer, type: Type) =>
  events.filter((event): event is Received & { type: Type } => event.type === type);

test('a room is one, and every answer covers all workers', async () => {
  const workers = await WorkersServer.start(3, ...QUICK);
  const { url } = workers;
  const room = 'chat:lobby';
  // Connections go to the workers in turn, and SockJS requests to the worker of the session.
  const names = [...TRANSPORTS, 'websocket', 'websocket', 'xhr-polling', 'xhr-streaming'] as const;
  const peers = await Promise.all(names.map((name) => join(name, url, room)));
  for (const [i, peer] of peers.entries()) peer.say({ type: 'publish', room, data: i });
  for (const peer of peers) await peer.until(() => data(peer).length === peers.length);
  // All in the same order, whichever member published.
  for (const peer of peers) expect(data(peer)).toEqual(data(peers[0] as ReadingPeer));

  const all = { asked: 3, answered: 3, missing: [] };
  // Answered by whichever worker gets the request.
  for (let n = 0; n < 4; n += 1) {
    const rooms = await workers.whole('/v1/rooms');
    expect(rooms).toMatchObject({
      total: 1,
      rooms: [{ room, members: peers.length }],
      workers: all,
    });
    expect(await workers.whole(`/v1/rooms/${room}`)).toMatchObject({ members: peers.length });
    const members = await workers.whole('/v1/members?limit=100');
    expect(members).toMatchObject({ total: peers.length, workers: all });
    const { sum, unaccounted } = await workers.freshScrape();
    expect(sum('roomcast_members')).toBe(peers.length);
    expect(sum('roomcast_published_total')).toBe(peers.length);
    expect(sum('roomcast_delivered_total')).toBe(peers.length ** 2);
    expect([sum('roomcast_rooms'), sum('roomcast_workers'), unaccounted]).toEqual([1, 3, 0]);
  }
  // The live page too; the delivery rate is zero again by now.
  expect(await secondWith(url, peers.length)).toMatchObject({
    members: { total: peers.length, list: { length: peers.length } },
    rooms: { total: 1, list: [{ room, members: peers.length }] },
    workers: [{ slot: 0 }, { slot: 1 }, { slot: 2 }],
  });
  const last = peers.at(-1) as ReadingPeer;
  expect(await workers.json(`/v1/members/${last.id}`)).toMatchObject({ joined: [room] });
  const closed = await fetch(`${url}/v1/members/${last.id}`, { method: 'DELETE' });
  expect(closed.status).toBe(204);
  expect(await last.closed).toBe(4003);
  expect((await fetch(`${url}/v1/members/${last.id}`)).status).toBe(404);
  const locks = run(['locks', url]);
  expect(await locks.exited).toBe(0);
  expect(locks.stdout[0]).toBe('detector: watch');

  workers.server.child.kill('SIGTERM');
  expect(await workers.server.exited).toBe(0);
  // One account for all. For a forwarded stream no worker sees whether the client read the end.
  const closing = workers.server.log.find(({ msg }) => String(msg).startsWith('closed'));
  expect(closing).toMatchObject({ abandoned: 0, waiting: [], killed: [] });
  const { drained, unconfirmed } = closing as Record<string, number>;
  expect(Number(drained) + Number(unconfirmed)).toBe(peers.length - 1);
  expect(unconfirmed).toBeLessThanOrEqual(3);
});

test('a worker is killed: rooms go on, losses are reported, and nothing is counted twice', async () => {
  const workers = await WorkersServer.start(3, ...QUICK);
  const { url } = workers;
  const [dies, ...stay] = [0, 1, 2].map((slot) => workers.nameOf(slot)) as [string, string, string];
  const rooms = [dies, ...stay];
  const peers: ReadingPeer[] = [];
  // Connections go to the workers in turn: two of these are at the one that dies.
  for (let n = 0; n < 6; n += 1) {
    const peer = await connectReading('websocket', url);
    for (const room of rooms) peer.say({ type: 'join', id: room, room });
    await peer.until(() => ofType(peer, 'joined').length === rooms.length);
    peers.push(peer);
  }
  let n = 0;
  const publish = async (room: string): Promise<Record<string, unknown>> => {
    n += 1;
    return workers.publish(room, n).catch(() => ({ code: 'connection' }));
  };
  for (const room of rooms) for (let i = 0; i < 20; i += 1) await publish(room);
  const before = await workers.scrape();
  expect(before.unaccounted).toBe(0);
  workers.kill(0, 'SIGKILL');
  // Under load: some messages are in transit when the worker dies.
  const during = rooms.flatMap((room) => Array.from({ length: 20 }, () => publish(room)));
  const ended = await Promise.race([
    Promise.all(peers.map(({ closed }) => closed)),
    workers.served(0, 2).then(() => null),
  ]);
  expect(ended).toBeNull();
  await Promise.all(during);
  // From the other workers: the room is available again, in a new epoch.
  const after = await publish(dies);
  expect(after).toMatchObject({ room: dies });
  const gone = await Promise.all(
    peers.map(({ closed }) => Promise.race([closed, Promise.resolve(0)])),
  );
  const living = peers.filter((_, i) => gone[i] === 0);
  expect(living).toHaveLength(4);
  for (const peer of living) {
    await peer.until(() => data(peer).includes(n));
    const resets = ofType(peer, 'reset');
    expect(resets.map(({ room }) => room)).toEqual([dies]);
    expect(resets[0]).toMatchObject({ epoch: after['epoch'] });
    // Rooms of the other workers miss nothing.
    for (const room of stay) {
      const seqs = ofType(peer, 'message').flatMap((each) =>
        each.room === room ? [each.seq] : [],
      );
      expect(seqs).toEqual(Array.from({ length: seqs.length }, (_, i) => i + 1));
    }
    expect(ofType(peer, 'gap')).toEqual([]);
  }
  const { sum, unaccounted } = await workers.scrape();
  expect(unaccounted).toBe(0);
  expect(sum('roomcast_worker_restarts_total')).toBe(1);
  for (const name of [
    'roomcast_delivered_total',
    'roomcast_fanout_total',
    'roomcast_published_total',
  ]) {
    expect(sum(name)).toBeGreaterThanOrEqual(before.sum(name));
  }
});

test('workers that die while starting, and the spare, are replaced too', async () => {
  // Without workers the port is closed, and it must reopen as the same one.
  const port = String(await freePort());
  const workers = await WorkersServer.start(2, ...QUICK, '--port', port);
  await expect.poll(() => workers.children.length).toBe(3);
  for (let n = 0; n < 3; n += 1) {
    const before = workers.children;
    for (const pid of before) process.kill(pid, 'SIGKILL');
    const others = () => workers.children.filter((pid) => !before.includes(pid));
    await expect.poll(() => others().length).toBeGreaterThanOrEqual(2);
  }
  for (const slot of [0, 1]) await workers.served(slot, 2);
  for (const slot of [0, 1]) {
    expect(await workers.publish(workers.nameOf(slot), 1)).toMatchObject({ seq: 1 });
  }
  const { sum, unaccounted } = await workers.freshScrape();
  expect([sum('roomcast_workers'), unaccounted]).toEqual([2, 0]);
  workers.server.child.kill('SIGTERM');
  expect(await workers.server.exited).toBe(0);
  expect(workers.server.log.at(-1)).toMatchObject({ killed: [] });
});

/** Members of the room, one at each of two workers. */
async function twoIn({ url }: WorkersServer, room: string) {
  return [await join('websocket', url, room), await join('websocket', url, room)];
}

test('a stalled worker is killed, and rooms of the others are unaffected', async () => {
  const workers = await WorkersServer.start(2, ...QUICK, '--worker-stall-ms', '3000');
  const room = workers.nameOf(1);
  const peers = await twoIn(workers, room);
  workers.kill(0, 'SIGSTOP');
  // One of them is frozen with its worker; the other goes on at once.
  for (const peer of peers) {
    for (let n = 1; n <= 20; n += 1) peer.say({ type: 'publish', id: n, room, data: n });
  }
  const goesOn = await Promise.race(
    peers.map(async (peer) => {
      await peer.until(() => ofType(peer, 'published').length === 20 && data(peer).length === 20);
      return peer;
    }),
  );
  const stands = () => workers.server.log.find(({ msg }) => msg === STANDS);
  expect(stands()).toBeUndefined();
  await workers.served(0, 2);
  expect(stands()).toMatchObject({ worker: 0 });
  const [frozen] = peers.filter((peer) => peer !== goesOn);
  expect(await frozen?.closed).toBe(1006);
  expect(ofType(goesOn, 'gap').concat(ofType(goesOn, 'reset') as never)).toEqual([]);
});

test('a stalled primary does not affect members; new clients wait until it resumes', async () => {
  const workers = await WorkersServer.start(2, ...QUICK, '--worker-stall-ms', '1000');
  const room = workers.nameOf(1);
  const peers = await twoIn(workers, room);
  const [one] = peers as [ReadingPeer];
  workers.server.child.kill('SIGSTOP');
  const late = fetch(`${workers.url}/healthz`);
  let isAnswered = false;
  void late.then(() => {
    isAnswered = true;
  });
  // Longer than the stall limit of a worker: it is the primary that did not check.
  const until = performance.now() + 1500;
  for (let n = 1; performance.now() < until; n += 1) {
    one.say({ type: 'publish', id: n, room, data: n });
    for (const peer of peers) await peer.until(() => data(peer).length === n);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  expect(isAnswered).toBe(false);
  workers.server.child.kill('SIGCONT');
  expect((await late).status).toBe(200);
  await workers.whole('/v1/rooms');
  expect([workers.pids(0), workers.pids(1)].map((pids) => pids.length)).toEqual([1, 1]);
  for (const peer of peers) {
    expect(ofType(peer, 'gap').concat(ofType(peer, 'reset') as never)).toEqual([]);
  }
});

test('connections handed to a worker that dies before taking them are closed', async () => {
  const internal = await freePort();
  const workers = await WorkersServer.start(2, ...QUICK, '--internal-port', `${internal}`);
  const { hostname, port } = new URL(workers.url);
  workers.kill(0, 'SIGSTOP');
  let answered = 0;
  // One per listening port may be on its way to a worker.
  const asked = [Number(port), internal].flatMap((at) =>
    Array.from({ length: 8 }, () => {
      const socket = connect(at, hostname);
      onTestFinished(() => void socket.destroy());
      socket.end('GET /healthz HTTP/1.0\r\n\r\n').once('data', () => {
        answered += 1;
      });
      // A connection reset is an end too.
      socket.on('error', () => {});
      return new Promise((resolve) => void socket.on('close', resolve));
    }),
  );
  // The other worker gets the connections after them.
  await expect.poll(() => answered).toBe(asked.length - 2);
  workers.kill(0, 'SIGKILL');
  await Promise.all(asked);
  expect(answered).toBe(asked.length - 2);
});

test('no worker replays purged messages, not even ones it had read before', async () => {
  const workers = await WorkersServer.start(2, ...QUICK, '--history-messages', '10');
  const { url } = workers;
  const room = workers.nameOf(0);
  await workers.publish(room, 1);
  await workers.publish(room, 2);
  const comeBack = async () => {
    const peer = await connectReading('websocket', url);
    peer.say({ type: 'join', id: 1, room, last: 10 });
    peer.say({ type: 'history', id: 2, room, from: 1, to: 2 });
    await peer.until(() => peer.events.some(({ type }) => type === 'history'));
    return peer;
  };
  // Two at each worker.
  for (let n = 0; n < 4; n += 1) expect(data(await comeBack())).toEqual([1, 2]);
  const path = `${url}/v1/rooms/${room}/messages?through=2`;
  expect((await fetch(path, { method: 'DELETE' })).status).toBe(204);
  for (let n = 0; n < 4; n += 1) {
    const peer = await comeBack();
    expect(data(peer)).toEqual([]);
    expect(ofType(peer, 'history')).toMatchObject([{ count: 0, missing: [[1, 2]] }]);
  }
});

test('workers are replaced one by one, and no connection is refused', async () => {
  const workers = await WorkersServer.start(2, '--drain-ms', '0', '--lame-duck-ms', '300');
  const { url } = workers;
  const peer = await join('websocket', url, 'chat:lobby');
  let isOver = false;
  const refused: unknown[] = [];
  let welcomed = 0;
  const knock = async () => {
    while (!isOver) {
      try {
        const visitor = await connectReading('websocket', url);
        if (visitor.events[0]?.type !== 'welcome') refused.push(visitor.events[0]);
        else welcomed += 1;
      } catch (error) {
        refused.push(error);
      }
    }
  };
  const knocking = [knock(), knock()];
  workers.server.child.kill('SIGHUP');
  await workers.server.line('all workers have been replaced');
  isOver = true;
  await Promise.all(knocking);
  expect(refused).toEqual([]);
  expect(welcomed).toBeGreaterThan(0);
  expect(await peer.closed).toBe(4200);
  const { sum, unaccounted } = await workers.scrape();
  // Intended, so it does not count as a restart.
  expect([sum('roomcast_worker_restarts_total'), unaccounted]).toEqual([0, 0]);
  for (const slot of [0, 1]) expect(workers.pids(slot)).toHaveLength(2);
  expect(workers.server.log.filter(({ msg }) => /left open/.test(String(msg)))).toEqual([]);
});

test('a replacement worker that cannot start leaves the old one in place', async () => {
  const { tlsCert, tlsKey } = certificate();
  const port = await freePort();
  const flags = ['--tls-cert', tlsCert, '--tls-key', tlsKey, '--internal-port', `${port}`];
  const workers = await WorkersServer.start(2, ...QUICK, ...flags);
  writeFileSync(tlsCert, 'none');
  workers.server.child.kill('SIGHUP');
  const said = await workers.server.line('a worker cannot be replaced; the remaining workers stay');
  expect(said).toMatchObject({ worker: 0, err: { code: 'bad_option', option: 'tlsCert' } });
  for (const slot of [0, 1]) {
    expect(workers.pids(slot)).toHaveLength(1);
    const path = `/v1/rooms/${workers.nameOf(slot)}/messages`;
    const published = await fetch(`http://127.0.0.1:${port}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"data":1}',
    });
    expect(await published.json()).toMatchObject({ seq: 1 });
  }
});

test('a session request is answered by the worker that has it, also on connections that carry several', async () => {
  const workers = await WorkersServer.start(3, ...QUICK);
  const { hostname, port } = new URL(workers.url);
  // One connection, so that all requests come to the same worker.
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const ask = (method: string, path: string, body = '') =>
    new Promise<[number, string]>((resolve, reject) => {
      const asked = request({ hostname, port, agent, method, path }, (answer: IncomingMessage) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk;
        });
        answer.on('end', () => resolve([answer.statusCode ?? 0, text]));
      });
      asked.on('error', reject);
      asked.end(body);
    });
  const sessions = [0, 1, 2].map((slot) => workers.nameOf(slot, 'session'));
  for (const session of sessions) {
    expect(await ask('POST', `/sockjs/0/${session}/xhr`)).toEqual([200, 'o\n']);
    expect((await ask('POST', `/sockjs/0/${session}/xhr`))[1]).toMatch(/^a\[.*welcome/);
  }
  for (const session of sessions) {
    const join = JSON.stringify([JSON.stringify({ type: 'join', id: 1, room: 'a' })]);
    expect((await ask('POST', `/sockjs/0/${session}/xhr_send`, join))[0]).toBe(204);
    expect((await ask('POST', `/sockjs/0/${session}/xhr`))[1]).toMatch(/^a\[.*joined/);
  }
  expect(await workers.whole('/v1/rooms/a')).toMatchObject({ members: 3 });
  const members = (await workers.whole('/v1/members'))['members'] as { address: string }[];
  expect(members.map(({ address }) => address)).toEqual(['127.0.0.1', '127.0.0.1', '127.0.0.1']);

  // Its sessions ended with it: requests for them are answered with 404.
  workers.kill(1, 'SIGKILL');
  await workers.served(1, 2);
  const gone = `/sockjs/0/${sessions[1]}/xhr_send`;
  await expect
    .poll(async () => (await fetch(workers.url + gone, { method: 'POST', body: '[]' })).status)
    .toBe(404);
  expect(
    (
      await fetch(workers.url + gone.replace(sessions[1] as string, sessions[2] as string), {
        method: 'POST',
        body: '["{}"]',
      })
    ).status,
  ).toBe(204);
  agent.destroy();

  // Without a primary no client could connect: the workers close their members.
  const peer = await connectReading('websocket', workers.url);
  workers.server.child.kill('SIGKILL');
  expect(await peer.closed).toBe(4200);
});

test('a socket passed by a service manager serves all workers', async () => {
  const manager = createServer();
  await new Promise<void>((resolve) => void manager.listen(0, '127.0.0.1', resolve));
  const { port } = manager.address() as AddressInfo;
  const main = new URL('../../dist/cli/main.js', import.meta.url).pathname;
  // The started process must be the one named in LISTEN_PID.
  const named = 'export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@"';
  const args = ['-c', named, 'bash', process.execPath, main, 'serve', '--workers', '2', ...QUICK];
  const { _handle: handle } = manager as unknown as { _handle: never };
  const child = spawn('bash', args, { stdio: ['ignore', 'pipe', 'inherit', handle] });
  onTestFinished(() => void child.kill('SIGKILL'));
  // The server has its own socket by now; an open one here would accept connections too.
  manager.close();
  let said = '';
  for await (const chunk of child.stdout ?? []) {
    said += String(chunk);
    if (said.includes('"msg":"serving"')) break;
  }
  expect(said).toContain(`"url":"http://127.0.0.1:${port}"`);
  const rooms = async () => (await fetch(`http://127.0.0.1:${port}/v1/rooms`)).json();
  await expect.poll(rooms).toMatchObject({ workers: { asked: 2, answered: 2 } });
  child.kill('SIGTERM');
  expect(await once(child, 'exit')).toEqual([0, null]);
});

test('options that workers cannot share are refused at the start', async () => {
  const refused = async (...flags: string[]) => {
    const process = run(['serve', '--port', '0', ...flags]);
    return [await process.exited, process.stderr];
  };
  expect(await refused('--workers', '4', '--max-connections', '3')).toEqual([
    2,
    'roomcast: --max-connections 3 is not allowed with --workers 4: it is divided by the workers, give at least 4\n',
  ]);
  expect(await refused('--workers', 'many')).toEqual([
    2,
    expect.stringContaining(
      '--workers "many" is not allowed: give a whole number, 0 to 256 (0 = one for each core; as a flag or variable also auto)',
    ),
  ]);
  expect(await refused('--workers', '2', '--host', '203.0.113.9')).toEqual([
    1,
    'roomcast: host 203.0.113.9 is not an address of this machine: give another --host, like 127.0.0.1 or 0.0.0.0\n',
  ]);
});
