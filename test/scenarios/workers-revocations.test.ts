/**
 * Revocations with several workers. An answered revocation applies at every worker, whichever was
 * asked, and whatever starts, ends, stalls or is replaced meanwhile; a lifted one applies at none
 * (V15).
 */
import { Agent, request } from 'node:http';
import { expect, onTestFinished, test } from 'vitest';
import { connectReading, type ReadingPeer } from '../support/reading-peer.js';
import { EVERYTHING, SECRET, tokenOf } from '../support/tokens.js';
import { WorkersServer } from '../support/workers.js';

const QUICK = ['--drain-ms', '0', '--lame-duck-ms', '0'];
const REVOCATIONS = '/v1/revocations';

interface Answered {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

const start = (slots: number, ...flags: string[]) =>
  WorkersServer.start(slots, '--token-secret', SECRET, ...flags);

/** Makes requests one by one on new connections: each goes to the next worker. */
function asker({ url }: WorkersServer, keepAlive = false) {
  const { hostname, port } = new URL(url);
  const agent = new Agent({ keepAlive, maxSockets: 1 });
  onTestFinished(() => agent.destroy());
  return (method: string, path: string, body?: object) =>
    new Promise<Answered>((resolve, reject) => {
      const headers = { 'content-type': 'application/json' };
      const asked = request({ hostname, port, agent, method, path, headers }, (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk;
        });
        answer.on('end', () =>
          resolve({ status: answer.statusCode ?? 0, body: text === '' ? {} : JSON.parse(text) }),
        );
      });
      asked.on('error', reject);
      asked.end(body && JSON.stringify(body));
    });
}

/** Connects a user and joins a room. */
async function connect({ url }: WorkersServer, user: string): Promise<ReadingPeer> {
  const headers = { authorization: `Bearer ${tokenOf({ sub: user, rooms: EVERYTHING })}` };
  const peer = await connectReading('websocket', url, { headers });
  peer.say({ type: 'join', id: 1, room: 'a' });
  return peer;
}

async function joined(workers: WorkersServer, user: string): Promise<ReadingPeer> {
  const peer = await connect(workers, user);
  await peer.until(() => peer.events.some(({ type }) => type === 'joined'));
  return peer;
}

/** How new connections of a user end: one more than there are workers, so that each is tried. */
async function turnedAway(workers: WorkersServer, user: string): Promise<number[]> {
  const codes: number[] = [];
  for (let n = 0; n <= workers.slots; n += 1)
    codes.push(await (await connect(workers, user)).closed);
  return codes;
}

/**
 * An answer of all workers closes these many; one that some of them have not given in time, at most as
 * many. Those are asked again, and close the others later.
 */
function expectClosed({ status, body }: Answered, closed: number): void {
  const { missing } = body['workers'] as { missing: number[] };
  expect(status).toBe(200);
  if (missing.length === 0) expect(body['closed']).toBe(closed);
  else expect(body['closed']).toBeLessThanOrEqual(closed);
}

/** Lifts a revocation. Repeated until every worker has answered in time. */
async function lift(ask: ReturnType<typeof asker>, id: unknown): Promise<void> {
  const lifted = async () => (await ask('DELETE', `${REVOCATIONS}/${id}`)).status;
  await expect.poll(lifted).toBeOneOf([204, 404]);
}

/** Ids of the revocations at each worker. */
async function lists(workers: WorkersServer): Promise<string[][]> {
  const all: string[][] = [];
  const ask = asker(workers);
  for (let n = 0; n <= workers.slots; n += 1) {
    const { body } = await ask('GET', REVOCATIONS);
    all.push((body['revocations'] as { id: string }[]).map(({ id }) => id).sort());
  }
  return all;
}

test('a revoked user is disconnected at every worker, and admitted at every worker once that is lifted', async () => {
  const workers = await start(3, ...QUICK);
  const ask = asker(workers);
  const peers = [];
  for (let n = 0; n < 6; n += 1) peers.push(await joined(workers, '42'));
  const other = await joined(workers, '43');
  const revoked = await ask('POST', REVOCATIONS, { user: '42' });
  expectClosed(revoked, 6);
  expect(await Promise.all(peers.map(({ closed }) => closed))).toEqual(Array(6).fill(4005));
  const { id } = revoked.body;
  await expect.poll(() => lists(workers)).toEqual(Array(4).fill([id]));
  expect(await turnedAway(workers, '42')).toEqual(Array(4).fill(4005));

  await lift(ask, id);
  expect(await lists(workers)).toEqual(Array(4).fill([]));
  for (let n = 0; n < 4; n += 1) await joined(workers, '42');
  expect(other.events.some(({ type }) => type === 'closing')).toBe(false);
  expectClosed(await ask('DELETE', '/v1/users/42'), 4);
});

test('a revocation over the limit applies at no worker', async () => {
  const workers = await start(2, ...QUICK, '--max-revocations', '1');
  const ask = asker(workers);
  const { body } = await ask('POST', REVOCATIONS, { user: '1' });
  await expect.poll(() => lists(workers)).toEqual(Array(3).fill([body['id']]));
  const peers = [await joined(workers, '2'), await joined(workers, '2')];
  expect(await ask('POST', REVOCATIONS, { user: '2' })).toMatchObject({
    status: 503,
    body: { code: 'revocations_full' },
  });
  // Connected members are disconnected all the same.
  expect(await Promise.all(peers.map(({ closed }) => closed))).toEqual([4005, 4005]);
  await expect.poll(() => lists(workers)).toEqual(Array(3).fill([body['id']]));
});

test('a replacement worker has the revocations before any client connects to it', async () => {
  const workers = await start(2, ...QUICK);
  await asker(workers)('POST', REVOCATIONS, { user: '42' });
  for (const slot of [0, 1]) {
    workers.kill(slot, 'SIGKILL');
    await workers.served(slot, 2);
  }
  expect(await turnedAway(workers, '42')).toEqual(Array(3).fill(4005));
});

test('a stalled worker applies a revocation once when it resumes', async () => {
  const workers = await start(2, ...QUICK, '--worker-stall-ms', '60000');
  const peers = [await joined(workers, '42'), await joined(workers, '42')];
  const asks = [asker(workers, true), asker(workers, true)];
  for (const ask of asks) await ask('GET', REVOCATIONS);
  workers.kill(0, 'SIGSTOP');
  // Of the two, the one connected to the other worker.
  const ask = await Promise.race(
    asks.map(async (each) => {
      await each('GET', REVOCATIONS);
      return each;
    }),
  );
  const { body } = await ask('POST', REVOCATIONS, { user: '42' });
  expect(body).toMatchObject({ closed: 1, workers: { answered: 1, missing: [0] } });
  workers.kill(0, 'SIGCONT');
  expect(await Promise.all(peers.map(({ closed }) => closed))).toEqual([4005, 4005]);
  // It may have received it several times.
  await lift(ask, body['id']);
  expect(await lists(workers)).toEqual(Array(3).fill([]));
  for (let n = 0; n < 3; n += 1) await joined(workers, '42');
});

test('while workers are replaced, answered revocations apply at every worker, and lifted ones at none', async () => {
  const workers = await start(2, '--drain-ms', '0', '--lame-duck-ms', '500');
  const ask = asker(workers);
  const standing: string[] = [];
  let isOver = false;
  let count = 0;
  workers.server.child.kill('SIGHUP');
  const over = workers.server.line('all workers have been replaced').then(() => {
    isOver = true;
  });
  while (!isOver) {
    const { status, body } = await ask('POST', REVOCATIONS, { user: `${count}` });
    expect(status).toBe(200);
    const id = String(body['id']);
    count += 1;
    // Each stays for a while, so that a new worker has something to load.
    standing.push(id);
    if (count % 2 === 0) continue;
    const lifted = standing.splice(Math.floor(standing.length / 2), 1);
    // Done when no worker has it.
    while (![204, 404].includes((await ask('DELETE', `${REVOCATIONS}/${lifted}`)).status)) {}
  }
  await over;
  expect(standing.length).toBeGreaterThan(5);
  // A worker that did not answer in time is asked again.
  await expect.poll(() => lists(workers)).toEqual(Array(3).fill(standing.sort()));
});

test('a member of a worker that is shutting down is disconnected with the others', async () => {
  const workers = await start(
    2,
    '--drain-ms',
    '0',
    '--lame-duck-ms',
    '0',
    '--shutdown-grace-ms',
    '20000',
  );
  const peers = [await joined(workers, '42'), await joined(workers, '42')];
  for (const peer of peers) peer.stall();
  // More than the kernel buffers: their workers wait for them.
  for (let n = 0; n < 200; n += 1) await workers.publish('a', 'x'.repeat(50_000));
  workers.server.child.kill('SIGHUP');
  await workers.served(0, 2);
  expectClosed(await asker(workers)('POST', REVOCATIONS, { user: '42' }), 2);
  for (const peer of peers) peer.resume();
  expect(await Promise.all(peers.map(({ closed }) => closed))).toEqual([4005, 4005]);
});
