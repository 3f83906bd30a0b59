import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { REFUSAL, Refusal, type RefusalCode } from '../../src/errors.js';
import type { HttpDeps } from '../../src/http/deps.js';
import { MAX_BATCH } from '../../src/http/messages.js';
import { REFUSAL_CODES } from '../../src/metrics/catalogue/connections.js';
import type { Hub } from '../../src/room/hub.js';
import { bytesInUse } from '../support/heap.js';
import { type Ask, type Served, serve } from './support.js';

let server: Served;
beforeEach(async () => {
  server = await serve({ maxMessageBytes: 1024, maxHttpBodyBytes: 4096, maxJsonDepth: 3 });
});
afterEach(() => server.stop());

const refused = (code: RefusalCode) =>
  server.recorder.refusedBy[REFUSAL_CODES.indexOf(code)] as number;

/** A hub whose `publish` is replaced. */
const publishing = (publish: Hub['publish']): HttpDeps['hub'] => ({
  archive: server.hub.archive,
  presence: server.hub.presence,
  brokerState: 'up',
  isLagging: false,
  rooms: new Map(),
  members: new Map(),
  publish,
});

const nested = (levels: number) => '['.repeat(levels) + ']'.repeat(levels);

describe('POST /v1/rooms/{room}/messages', () => {
  const post = (room: string, ask: Ask) => server.ask('POST', `/v1/rooms/${room}/messages`, ask);

  it('publishes to the members of the room', async () => {
    const inside = await server.connect('chat:lobby');
    const outside = await server.connect('chat:other');
    const data = { text: 'héllo', n: [1, null] };
    const answer = await post('chat:lobby', { json: { data, key: 'k' } });
    expect(answer.status).toBe(200);
    expect(answer.headers['content-type']).toBe('application/json; charset=utf-8');
    const { epoch } = server.hub.rooms.get('chat:lobby')!;
    expect(answer.body).toEqual({ room: 'chat:lobby', seq: 1, epoch });
    await turn();
    expect(inside.transport.messages).toMatchObject([
      { type: 'message', room: 'chat:lobby', seq: 1, from: null, data, key: 'k' },
    ]);
    expect(outside.transport.messages).toEqual([]);
  });

  it('retains only the name of a room (V3)', async () => {
    const publish = (name: string) =>
      server.ask('POST', `/v1/rooms/${name}/messages?${'j'.repeat(12_000)}`, { json: { data: 1 } });
    const publishAll = async (from: number, to: number) => {
      for (let n = from; n < to; n += 1) {
        expect((await publish(`a-room-of-somebody-${n}`)).status).toBe(200);
      }
    };
    // What the first ones compile is no growth.
    await publishAll(0, 200);
    const before = await bytesInUse();
    await publishAll(200, 1200);
    expect((await bytesInUse()) - before).toBeLessThan(5_000_000);
  });

  it('counts on in a room without members', async () => {
    await post('empty', { json: { data: 1 } });
    expect((await post('empty', { json: { data: 2 } })).body).toMatchObject({ seq: 2 });
  });

  it.each([null, 0, '', false, [], {}])('accepts %j as data', async (data) => {
    const { transport } = await server.connect('a');
    expect((await post('a', { json: { data } })).status).toBe(200);
    await turn();
    expect(transport.messages).toMatchObject([{ data }]);
  });

  it('accepts names with any character the server allows, percent-encoded', async () => {
    const room = 'a/b:c+d@e';
    const { body } = await post(encodeURIComponent(room), { json: { data: 1 } });
    expect(body).toMatchObject({ room, seq: 1 });
  });

  const json = { 'content-type': 'application/json' };
  it.each<[why: string, room: string, ask: Ask, code: RefusalCode]>([
    ['no body', 'a', { headers: json }, 'bad_command'],
    ['no JSON', 'a', { headers: json, body: '{"data":' }, 'bad_json'],
    [
      'no UTF-8',
      'a',
      { headers: json, body: Buffer.from('{"data":"\xff"}', 'latin1') },
      'bad_json',
    ],
    ['no media type', 'a', { body: '{"data":1}' }, 'bad_json'],
    ['a form', 'a', { headers: { 'content-type': 'text/plain' }, body: '{"data":1}' }, 'bad_json'],
    ['an array', 'a', { json: [1] }, 'bad_command'],
    ['null', 'a', { json: null }, 'bad_command'],
    ['no data', 'a', { json: { key: 'k' } }, 'bad_command'],
    [
      'data only in __proto__',
      'a',
      { headers: json, body: '{"__proto__":{"data":1}}' },
      'bad_command',
    ],
    ['a number as key', 'a', { json: { data: 1, key: 5 } }, 'bad_command'],
    ['an empty key', 'a', { json: { data: 1, key: '' } }, 'bad_command'],
    ['a room with a space', 'a%20b', { json: { data: 1 } }, 'bad_room'],
    ['a long room', 'a'.repeat(201), { json: { data: 1 } }, 'bad_room'],
    ['an empty room', '', { json: { data: 1 } }, 'bad_room'],
    ['a room that is no UTF-8', '%ff', { json: { data: 1 } }, 'bad_command'],
    ['deep data', 'a', { headers: json, body: `{"data":${nested(4)}}` }, 'too_deep'],
    ['very deep data', 'a', { headers: json, body: `{"data":${nested(1500)}}` }, 'too_deep'],
    ['large data', 'a', { json: { data: 'x'.repeat(1023) } }, 'message_too_big'],
    ['data of many bytes', 'a', { json: { data: 'é'.repeat(600) } }, 'message_too_big'],
    ['a large body', 'a', { json: { data: 1, more: 'x'.repeat(5000) } }, 'message_too_big'],
  ])('refuses %s', async (_why, room, ask, code) => {
    const { transport } = await server.connect('a');
    const answer = await post(room, ask);
    expect(answer.body).toEqual({ code, message: expect.stringMatching(/\.$/) });
    expect(answer.status).toBe(REFUSAL[code].status);
    expect(refused(code)).toBe(1);
    await turn();
    expect(transport.messages).toEqual([]);
    expect(server.logged).toEqual([]);
  });

  it('accepts data of exactly the maximum size and depth', async () => {
    expect((await post('a', { json: { data: 'x'.repeat(1022) } })).status).toBe(200);
    expect((await post('a', { json: { data: [[[1]]] } })).status).toBe(200);
  });

  it('refuses once the server is closing', async () => {
    await server.hub.close(1000);
    const answer = await post('a', { json: { data: 1 } });
    expect([answer.status, answer.body]).toMatchObject([503, { code: 'shutting_down' }]);
  });

  it('waits for an asynchronous broker, and passes its refusal on', async () => {
    await server.stop();
    const answers = [
      async () => ({ seq: 7, epoch: 'e' }),
      () => Promise.reject(new Refusal('broker_unavailable', 'Gone.')),
    ];
    const hub = publishing(() => answers.shift()!());
    server = await serve({}, { hub });
    expect((await post('a', { json: { data: 1 } })).body).toEqual({
      room: 'a',
      seq: 7,
      epoch: 'e',
    });
    const answer = await post('a', { json: { data: 1 } });
    expect([answer.status, answer.body]).toEqual([
      503,
      { code: 'broker_unavailable', message: 'Gone.' },
    ]);
  });

  it('answers any body with a result or a code (V11)', async () => {
    const text = fc.oneof(
      fc.json(),
      fc.json({ maxDepth: 6 }).map((data) => `{"data":${data}}`),
      fc.string({ unit: 'binary' }),
      fc.constantFrom('{"__proto__":null,"data":1}', '{"data":1,"data":{"constructor":1}}', '[['),
    );
    const room = fc.oneof(
      fc.constant('a'),
      fc.webSegment(),
      fc.constantFrom('%', '%00', '..', '*'),
    );
    await fc.assert(
      fc.asyncProperty(room, text, async (room, body) => {
        const answer = await post(room, { headers: json, body });
        if (answer.status === 200) expect(answer.body).toMatchObject({ room: expect.any(String) });
        else {
          const { code } = answer.body as { code: RefusalCode };
          expect(answer.status).toBe(REFUSAL[code].status);
          expect(code).not.toBe('internal_error');
        }
      }),
      { numRuns: 100 },
    );
    expect(server.logged).toEqual([]);
  });
});

describe('POST /v1/messages', () => {
  const post = (json: unknown) => server.ask('POST', '/v1/messages', { json });

  it('publishes in order, with one result per message', async () => {
    const { transport } = await server.connect('a', 'b');
    const answer = await post({
      messages: [
        { room: 'a', data: 1 },
        { room: 'no room', data: 2 },
        { room: 'b', data: 3, key: 'k' },
        'no object',
        { room: 'a', data: 'x'.repeat(2000) },
        { data: 4 },
        { room: 'a', data: 5 },
      ],
    });
    expect(answer.status).toBe(200);
    expect(answer.body).toEqual({
      results: [
        { room: 'a', seq: 1, epoch: expect.any(String) },
        { code: 'bad_room', message: expect.any(String) },
        { room: 'b', seq: 1, epoch: expect.any(String) },
        { code: 'bad_command', message: expect.any(String) },
        { code: 'message_too_big', message: expect.any(String) },
        { code: 'bad_room', message: expect.any(String) },
        { room: 'a', seq: 2, epoch: expect.any(String) },
      ],
    });
    expect([refused('bad_room'), refused('bad_command'), refused('message_too_big')]).toEqual([
      2, 1, 1,
    ]);
    await turn();
    expect(transport.messages).toMatchObject([
      { room: 'a', data: 1 },
      { room: 'a', data: 5 },
      { room: 'b', data: 3 },
    ]);
  });

  it.each([
    ['nothing', {}],
    ['none', { messages: [] }],
    ['too many', { messages: Array(MAX_BATCH + 1).fill({ room: 'a', data: 1 }) }],
    ['an object', { messages: { 0: { room: 'a', data: 1 } } }],
    ['a string', 'messages'],
  ])('refuses %s', async (_what, body) => {
    const answer = await post(body);
    expect([answer.status, answer.body]).toMatchObject([400, { code: 'bad_command' }]);
  });

  it('accepts the maximum batch size', async () => {
    const { body } = await post({ messages: Array(MAX_BATCH).fill({ room: 'a', data: 1 }) });
    const { results } = body as { results: { seq: number }[] };
    expect(results.map(({ seq }) => seq)).toEqual(
      Array.from({ length: MAX_BATCH }, (_, i) => i + 1),
    );
  });

  it('does not hide an internal error in a result', async () => {
    await server.stop();
    const publish = () => {
      throw new Error('broken');
    };
    server = await serve({}, { hub: publishing(publish) });
    const answer = await post({ messages: [{ room: 'a', data: 1 }] });
    expect([answer.status, answer.body]).toMatchObject([500, { code: 'internal_error' }]);
    expect(answer.text).not.toContain('broken');
    expect(server.logged).toHaveLength(1);
  });
});
