/** Room history over HTTP: reading page by page, purging, and refusals where nothing is kept. */
import { expect, it, onTestFinished } from 'vitest';
import type { Broker } from '../../src/broker/broker.js';
import type { Config } from '../../src/options/config.js';
import { DelegateBroker } from '../support/delegate-broker.js';
import { ScriptedBroker } from '../support/scripted-broker.js';
import { serve } from './support.js';

const MIB = 1_048_576;

interface Page {
  room: string;
  epoch: string;
  seq: number;
  oldest: number;
  messages: { seq: number; data: unknown }[];
  next?: number;
}

async function start(options: Partial<Config> = { historyMessages: 2000 }, broker?: Broker) {
  const server = await serve(options, {}, broker);
  onTestFinished(() => server.stop());
  return {
    ...server,
    async fill(room: string, count: number, data: unknown = 'x') {
      for (let i = 0; i < count; i += 1) await server.hub.publish(null, room, JSON.stringify(data));
    },
    async page(path: string): Promise<Page> {
      const answer = await server.ask('GET', `/v1/rooms/${path}`);
      expect([answer.status, answer.headers['content-type']]).toEqual([
        200,
        'application/json; charset=utf-8',
      ]);
      return answer.body as Page;
    },
  };
}

const seqs = ({ messages }: Page) => messages.map(({ seq }) => seq);

const range = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => from + i);

it('returns the history of a room without members exactly as it was published', async () => {
  const server = await start();
  await server.ask('POST', '/v1/rooms/a/messages', { json: { data: { text: 'é' }, key: 'k' } });
  await server.ask('POST', '/v1/rooms/a/messages', { json: { data: null } });
  const page = await server.page('a/messages');
  const at = expect.any(Number);
  expect(page).toEqual({
    room: 'a',
    epoch: expect.any(String),
    seq: 2,
    oldest: 1,
    messages: [
      { seq: 1, from: null, at, data: { text: 'é' }, key: 'k' },
      { seq: 2, from: null, at, data: null },
    ],
  });
  expect(server.hub.rooms.size).toBe(0);
});

it('names the member that published a message', async () => {
  const server = await start();
  const { member } = await server.connect('a');
  await server.hub.publish(member, 'a', '[1]');
  const { messages } = await server.page('a/messages');
  expect(messages).toMatchObject([{ seq: 1, from: member.id, data: [1] }]);
});

it('returns an empty page for a room without messages', async () => {
  const server = await start();
  for (const query of ['', '?last=5', '?from=7']) {
    const page = await server.page(`a/messages${query}`);
    expect(page).toEqual({
      room: 'a',
      epoch: expect.any(String),
      seq: 0,
      oldest: 1,
      messages: [],
    });
  }
});

it.each<[query: string, seqs: number[], next: number | undefined]>([
  ['', range(11, 30), undefined],
  ['?from=28', [28, 29, 30], undefined],
  ['?from=3&to=12', [11, 12], undefined],
  ['?from=1&to=10', [], undefined],
  ['?from=31', [], undefined],
  ['?to=13', [11, 12, 13], undefined],
  ['?from=12&to=20&limit=4', [12, 13, 14, 15], 16],
  ['?from=12&to=15&limit=4', [12, 13, 14, 15], undefined],
  ['?from=27&limit=4', [27, 28, 29, 30], undefined],
  ['?from=26&limit=4', [26, 27, 28, 29], 30],
  ['?last=3', [28, 29, 30], undefined],
  ['?last=3&limit=2', [28, 29], 30],
  ['?last=9007199254740991&limit=1', [11], 12],
])('reads %s of 11 to 30', async (query, expected, next) => {
  const server = await start({ historyMessages: 20 });
  await server.fill('a', 30);
  const page = await server.page(`a/messages${query}`);
  expect([page.seq, page.oldest, seqs(page), page.next]).toEqual([30, 11, expected, next]);
});

it('returns at most 1,000 messages per page, and all of them over several pages', async () => {
  const server = await start();
  await server.fill('a', 1500);
  const first = await server.page('a/messages');
  expect([seqs(first), first.next]).toEqual([range(1, 1000), 1001]);
  const second = await server.page(`a/messages?from=${first.next}`);
  expect([seqs(second), second.next]).toEqual([range(1001, 1500), undefined]);
});

it('ends a page before 1 MiB of messages, including field names', async () => {
  const server = await start({ historyMessages: 2000, historyBytes: 100 * MIB });
  await server.fill('a', 1000, 'é'.repeat(600));
  const found: number[] = [];
  for (let from: number | undefined = 1; from !== undefined; ) {
    const { text, body } = await server.ask('GET', `/v1/rooms/a/messages?from=${from}`);
    const page = body as Page;
    expect(Buffer.byteLength(text)).toBeLessThan(MIB + 300);
    if (page.next !== undefined) expect(Buffer.byteLength(text)).toBeGreaterThan(MIB - 2000);
    found.push(...seqs(page));
    from = page.next;
  }
  expect(found).toEqual(range(1, 1000));
});

it('returns a message larger than a page alone', async () => {
  const server = await start({ historyMessages: 10, historyBytes: 100 * MIB });
  const large = 'x'.repeat(2 * MIB);
  await server.fill('a', 2, large);
  const page = await server.page('a/messages');
  expect([page.messages.map(({ data }) => data === large), page.next]).toEqual([[true], 2]);
});

it('waits for an asynchronous broker', async () => {
  const later = (_: string, job: () => void) => void setImmediate(job);
  const broker = new ScriptedBroker({ answer: () => 'later', later }, 100);
  const server = await start({ historyMessages: 100 }, broker);
  await server.fill('a', 5);
  expect(seqs(await server.page('a/messages?last=2'))).toEqual([4, 5]);
  expect((await server.ask('DELETE', '/v1/rooms/a/messages?through=3')).status).toBe(204);
  expect(await server.page('a/messages')).toMatchObject({ oldest: 4, seq: 5 });
});

it('refuses with a code if the broker fails, and still lists rooms', async () => {
  let answer: 'now' | 'reject' = 'now';
  const broker = new ScriptedBroker({ answer: () => answer, later: (_, job) => job() }, 100);
  const server = await start({ historyMessages: 100 }, broker);
  await server.connect('a');
  answer = 'reject';
  for (const [method, query] of [
    ['GET', ''],
    ['GET', '?last=1'],
    ['DELETE', '?through=1'],
  ] as const) {
    const { status, body } = await server.ask(method, `/v1/rooms/a/messages${query}`);
    expect([status, body]).toMatchObject([503, { code: 'broker_unavailable' }]);
  }
  const epoch = expect.any(String);
  expect((await server.ask('GET', '/v1/rooms')).body).toEqual({
    total: 1,
    rooms: [{ room: 'a', members: 1, seq: 0, epoch }],
  });
});

it('purges up to a message; numbering and epoch stay', async () => {
  const server = await start();
  await server.fill('a', 5);
  const { epoch } = await server.page('a/messages');
  const answer = await server.ask('DELETE', '/v1/rooms/a/messages?through=3');
  expect([answer.status, answer.text]).toEqual([204, '']);
  expect(await server.page('a/messages')).toMatchObject({
    epoch,
    seq: 5,
    oldest: 4,
    messages: [{ seq: 4 }, { seq: 5 }],
  });
  await server.ask('DELETE', '/v1/rooms/a/messages?through=9007199254740991');
  expect(await server.page('a/messages')).toMatchObject({ epoch, seq: 5, oldest: 6, messages: [] });
  await server.fill('a', 1);
  expect(seqs(await server.page('a/messages'))).toEqual([6]);
});

it('purging an unknown room is not an error', async () => {
  const server = await start();
  expect((await server.ask('DELETE', '/v1/rooms/a/messages?through=3')).status).toBe(204);
});

it('purged messages are not replayed, not even from pages read before', async () => {
  const server = await start();
  await server.connect('a');
  await server.fill('a', 40);
  const { epoch } = await server.page('a/messages');
  const replayed = async () => {
    const { member, transport } = await server.connect();
    await server.hub.memberships.join(member, 'a', { since: { epoch, seq: 0 } });
    await expect.poll(() => transport.messages.length).toBeGreaterThan(0);
    await expect.poll(() => transport.written.at(-1)).toContain('"seq":40');
    return transport.messages.map((message) => (message as { seq: number }).seq);
  };
  expect(await replayed()).toEqual(range(1, 40));
  await server.ask('DELETE', '/v1/rooms/a/messages?through=38');
  expect(await replayed()).toEqual([39, 40]);
});

it('rooms show the start of their history', async () => {
  const server = await start({ namespaces: { kept: { historyMessages: 2 } } });
  await server.connect('kept:a', 'kept:none', 'other');
  await server.connect('kept:a');
  await server.fill('kept:a', 5);
  await server.fill('other', 5);
  const epoch = expect.any(String);
  const kept = { room: 'kept:a', members: 2, seq: 5, epoch, oldest: 4 };
  expect((await server.ask('GET', '/v1/rooms')).body).toEqual({
    total: 3,
    rooms: [
      kept,
      { room: 'kept:none', members: 1, seq: 0, epoch, oldest: 1 },
      { room: 'other', members: 1, seq: 5, epoch },
    ],
  });
  expect((await server.ask('GET', '/v1/rooms/kept:a')).body).toEqual(kept);
});

const whole = 'it has to be a whole number from 1 to 2^53 - 1.';
it.each([
  ['GET', '?from=0', 'bad_position', `from is 0; ${whole}`],
  ['GET', '?to=0', 'bad_position', `to is 0; ${whole}`],
  ['GET', '?to=-1', 'bad_position', `to is -1; ${whole}`],
  ['GET', '?last=0', 'bad_position', `last is 0; ${whole}`],
  ['GET', '?from=9007199254740992', 'bad_position', `from is 9007199254740992; ${whole}`],
  ['GET', '?from=3&to=2', 'bad_position', 'from is 3, to is 2; from must not be larger than to.'],
  [
    'GET',
    '?last=3&to=2',
    'bad_position',
    expect.stringContaining('last cannot be combined with from or to'),
  ],
  [
    'GET',
    '?last=3&from=2',
    'bad_position',
    expect.stringContaining('last cannot be combined with from or to'),
  ],
  ['GET', '?from=one', 'bad_command', 'from is "one"; it must be integer.'],
  ['GET', '?limit=0', 'bad_command', 'limit is 0; it must be >= 1.'],
  ['GET', '?limit=1001', 'bad_command', 'limit is 1001; it must be <= 1000.'],
  ['GET', '?frm=1', 'bad_command', 'There is no parameter frm.'],
  ['DELETE', '', 'bad_position', `through is nothing; ${whole}`],
  ['DELETE', '?through=0', 'bad_position', `through is 0; ${whole}`],
  ['DELETE', '?through=', 'bad_command', 'through is ""; it must be integer.'],
])('refuses %s %s and changes nothing', async (method, query, code, message) => {
  const server = await start();
  await server.fill('a', 3);
  const answer = await server.ask(method, `/v1/rooms/a/messages${query}`);
  expect([answer.status, answer.body]).toEqual([400, { code, message }]);
  expect(seqs(await server.page('a/messages'))).toEqual([1, 2, 3]);
});

it.each(['GET', 'DELETE'])('refuses %s for an invalid room name', async (method) => {
  const server = await start();
  const answer = await server.ask(method, '/v1/rooms/a%20b/messages?through=1&from=1');
  expect(answer.status).toBe(400);
  const { body } = await server.ask(method, '/v1/rooms/a%20b/messages');
  expect(body).toMatchObject({ code: 'bad_room' });
});

it.each<[string, Partial<Config>, Broker | undefined, string]>([
  [
    'by a broker without history',
    { historyMessages: 10 },
    new DelegateBroker(),
    'The broker keeps no messages.',
  ],
  [
    'in the namespace',
    { historyMessages: 10, namespaces: { chat: { historyMessages: 0 } } },
    undefined,
    'No messages are kept in the namespace chat: its historyMessages is 0.',
  ],
  [
    'by default',
    {},
    undefined,
    'No messages are kept in the namespace chat: its historyMessages is 0.',
  ],
])('is refused where nothing is kept: %s', async (_, options, broker, message) => {
  const server = await start(options, broker);
  await server.connect('chat:a');
  for (const [method, query] of [
    ['GET', ''],
    ['DELETE', '?through=1'],
  ] as const) {
    const { status, body } = await server.ask(method, `/v1/rooms/chat:a/messages${query}`);
    expect([status, body]).toEqual([409, { code: 'not_enabled', message }]);
  }
  expect((await server.ask('GET', '/v1/rooms/chat:a')).body).not.toHaveProperty('oldest');
});

it('is refused during a shutdown', async () => {
  const server = await serve({ historyMessages: 10 });
  await server.hub.close(1000);
  const { status, body } = await server.ask('GET', '/v1/rooms/a/messages');
  expect([status, body]).toMatchObject([503, { code: 'shutting_down' }]);
  await server.stop();
});
